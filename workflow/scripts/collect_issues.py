from ftft.pipeline.job import job, specification
from ftft.results.issues import write_task_issues

with job(snakemake):
    source, output = snakemake.input, dict(snakemake.output.items())
    write_task_issues(specification(snakemake), source.issues, source.train, output)
