from ftft import sources
from ftft.job import job, specification

with job(snakemake):
    sources.download(specification(snakemake), snakemake.wildcards.dataset, snakemake.output[0])
