from ftft.results.patience import write_patience
from ftft.workflow.job import job, specification

with job(snakemake):
    write_patience(
        specification(snakemake),
        snakemake.input.trajectories,
        snakemake.input.ledgers,
        dict(snakemake.output.items()),
    )
