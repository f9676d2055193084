from ftft.paper.claims import write_claims
from ftft.pipeline.job import job, specification

with job(snakemake):
    write_claims(
        specification(snakemake),
        snakemake.input.evaluations,
        snakemake.input.ledgers,
        dict(snakemake.output.items()),
    )
