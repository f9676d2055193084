from ftft.pipeline.job import job, specification
from ftft.results.map_page import write_page

with job(snakemake):
    source = snakemake.input
    files = source.data_map, source.dynamics, source.train, source.issues
    write_page(specification(snakemake), *files, snakemake.output[0])
