from ftft.pipeline.job import job, specification
from ftft.results.patience import write_patience

with job(snakemake):
    write_patience(
        specification(snakemake),
        snakemake.input.trajectories,
        snakemake.input.ledgers,
        dict(snakemake.output.items()),
    )
