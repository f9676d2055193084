from ftft.results.figures.learning_curves import plot
from ftft.workflow.job import job, specification

with job(snakemake):
    source, output = snakemake.input, snakemake.output
    plot(specification(snakemake), source.trajectories, source.ledgers, dict(output.items()))
