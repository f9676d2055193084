from ftft.job import job, specification
from ftft.tables import write_table

with job(snakemake):
    write_table(
        specification(snakemake),
        snakemake.input.scores,
        snakemake.input.ledgers,
        dict(snakemake.output.items()),
    )
