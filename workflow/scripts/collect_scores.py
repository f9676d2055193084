from ftft.results.scores import collect_scores
from ftft.workflow.job import job, specification

with job(snakemake):
    collect_scores(
        specification(snakemake),
        snakemake.input.evaluations,
        snakemake.input.ledgers,
        snakemake.output[0],
    )
