from ftft.results.tables import write_table
from ftft.workflow.job import job, specification

with job(snakemake):
    write_table(
        specification(snakemake),
        snakemake.input.scores,
        snakemake.input.ledgers,
        dict(snakemake.output.items()),
    )
