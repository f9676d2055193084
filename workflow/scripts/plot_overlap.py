from ftft.pipeline.job import job, specification
from ftft.results.figures.overlap import plot

with job(snakemake):
    source, output = snakemake.input, snakemake.output
    plot(specification(snakemake), source.supervisions, source.ledgers, dict(output.items()))
