from ftft.pipeline.job import job, specification
from ftft.statistics.gains import split_gains

with job(snakemake):
    source, output = snakemake.input, snakemake.output
    split_gains(specification(snakemake), source.evaluations, source.ledgers, output.gains, output.view)
