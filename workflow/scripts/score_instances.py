from ftft.cartography.datamap import write_score
from ftft.pipeline.job import job, specification

with job(snakemake):
    source, name = snakemake.input, snakemake.wildcards.score
    write_score(source.dynamics, source.train, snakemake.output[0], name, **specification(snakemake))
