from ftft.data import hub
from ftft.pipeline.job import job, specification

with job(snakemake):
    hub.download(specification(snakemake), snakemake.wildcards.dataset, snakemake.output[0])
