from ftft.pipeline.job import job, specification
from ftft.results.figures.training_length import plot

with job(snakemake):
    source, output = snakemake.input, snakemake.output
    plot(specification(snakemake), source.scores, source.ledger[0], dict(output.items()))
