from ftft.cartography.datamap import write_score
from ftft.pipeline.job import job, specification

with job(snakemake):
    source, name = snakemake.input, snakemake.wildcards.score
    dynamics, before = (source.get(part) or None for part in ("dynamics", "before"))
    write_score(dynamics, source.train, snakemake.output[0], name, before, **specification(snakemake))
