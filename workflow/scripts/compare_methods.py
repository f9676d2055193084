from ftft.results.comparisons import compare_rows
from ftft.workflow.job import job, specification

with job(snakemake):
    compare_rows(
        specification(snakemake),
        snakemake.input.evaluations,
        snakemake.input.ledgers,
        snakemake.output[0],
    )
