from ftft.cartography.datamap import write_score
from ftft.pipeline.job import job, specification

with job(snakemake):
    source, name = snakemake.input, snakemake.wildcards.score
    before, output = source.get("before") or None, snakemake.output[0]
    write_score(source.dynamics, source.train, output, name, before, **specification(snakemake))
