from ftft.pipeline.job import job, specification
from ftft.results.map_page import write_page

with job(snakemake):
    source = snakemake.input
    write_page(specification(snakemake), source.data_map, source.dynamics, source.train, snakemake.output[0])
