from ftft.pipeline.job import job, specification
from ftft.statistics.scores import collect_scores

with job(snakemake):
    collect_scores(
        specification(snakemake),
        snakemake.input.evaluations,
        snakemake.input.ledgers,
        snakemake.output[0],
    )
