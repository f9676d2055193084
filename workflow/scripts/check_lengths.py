from ftft.pipeline.warm import hand_over

hand_over()

from pathlib import Path

from ftft.pipeline.job import job, specification
from ftft.tasks.lengths import check_lengths

with job(snakemake):
    check_lengths(
        specification(snakemake),
        snakemake.input.data,
        Path(snakemake.input.encoder[0]).parent,
        snakemake.output[0],
        snakemake.config["runtime"],
    )
