from ftft import checks
from ftft.job import job, specification

with job(snakemake):
    checks.check_task(specification(snakemake), snakemake.input, snakemake.output[0])
