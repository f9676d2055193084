from ftft.cartography.folds import gather_folds
from ftft.pipeline.job import job

with job(snakemake):
    source = snakemake.input
    gather_folds(source.outputs, source.ledgers, source.train, snakemake.output[0])
