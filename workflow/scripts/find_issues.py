from ftft.pipeline.job import job, specification
from ftft.results.issues import write_issues

with job(snakemake):
    source, output = snakemake.input, dict(snakemake.output.items())
    write_issues(specification(snakemake), source.dynamics, source.train, source.repeats, output)
