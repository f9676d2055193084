from ftft.results.figures.overlap import plot
from ftft.workflow.job import job, specification

with job(snakemake):
    source, output = snakemake.input, snakemake.output
    plot(specification(snakemake), source.selections, source.ledgers, dict(output.items()))
