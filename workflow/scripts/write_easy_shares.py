from ftft.pipeline.job import job, specification
from ftft.results.easy_share import write_easy_shares

with job(snakemake):
    write_easy_shares(
        specification(snakemake),
        snakemake.input.maps,
        snakemake.input.ledgers,
        dict(snakemake.output.items()),
    )
