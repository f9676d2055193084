from ftft.results.figures.data_map import plot
from ftft.workflow.job import job, specification

with job(snakemake):
    plot(specification(snakemake), snakemake.input[0], dict(snakemake.output.items()))
