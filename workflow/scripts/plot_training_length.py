from ftft.results.figures.training_length import plot
from ftft.workflow.job import job, specification

with job(snakemake):
    source, output = snakemake.input, snakemake.output
    plot(specification(snakemake), source.scores, source.ledger[0], dict(output.items()))
