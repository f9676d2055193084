from ftft.pipeline.job import job, specification
from ftft.results.figures.data_map import plot

with job(snakemake):
    plot(specification(snakemake), snakemake.input[0], dict(snakemake.output.items()))
