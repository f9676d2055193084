from ftft.pipeline.job import claim_resources, job, measured, specification
from ftft.pipeline.warm import hand_over

hand_over()

from pathlib import Path

claim_resources(snakemake)

with job(snakemake):
    from ftft.training.before import look_before_training

    source, output = snakemake.input, snakemake.output
    model = snakemake.wildcards.model
    with measured(output.ledger, model=model) as taken:
        taken |= look_before_training(
            specification(snakemake),
            model,
            Path(source.encoder[0]).parent,
            source.train,
            output.before,
            snakemake.config["runtime"],
        )
