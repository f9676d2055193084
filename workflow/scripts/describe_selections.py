from ftft.pipeline.job import job, specification
from ftft.results.selections import write_selections

with job(snakemake):
    source = snakemake.input
    write_selections(
        specification(snakemake), source.train, source.supervisions, dict(snakemake.output.items())
    )
