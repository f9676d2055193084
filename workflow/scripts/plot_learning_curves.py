from ftft.pipeline.job import job, specification
from ftft.results.figures.learning_curves import plot

with job(snakemake):
    source, output = snakemake.input, snakemake.output
    plot(specification(snakemake), source.trajectories, source.ledgers, dict(output.items()))
