from ftft.data import checks
from ftft.pipeline.job import job, specification

with job(snakemake):
    checks.check_task(specification(snakemake), snakemake.input, dict(snakemake.output.items()))
