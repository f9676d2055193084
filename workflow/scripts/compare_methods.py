from ftft.pipeline.job import job, specification
from ftft.statistics.comparisons import compare_rows

with job(snakemake):
    compare_rows(
        specification(snakemake),
        snakemake.input.evaluations,
        snakemake.input.ledgers,
        snakemake.output.comparisons,
        snakemake.output.view,
    )
