from ftft.cartography.datamap import write_map
from ftft.pipeline.job import job, specification

with job(snakemake):
    source, spec = snakemake.input, specification(snakemake)
    write_map(source.dynamics, source.train, snakemake.output[0], spec["scores"], **spec["settings"])
