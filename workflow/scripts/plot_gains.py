from ftft.pipeline.job import job, specification
from ftft.results.figures.gains import plot

with job(snakemake):
    plot(specification(snakemake), snakemake.input.gains, dict(snakemake.output.items()))
