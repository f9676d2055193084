from ftft.data import sources
from ftft.workflow.job import job, specification

with job(snakemake):
    sources.download(specification(snakemake), snakemake.wildcards.dataset, snakemake.output[0])
