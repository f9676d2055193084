from ftft.pipeline.warm import hand_over

hand_over()

from pathlib import Path

from ftft.pipeline.job import claim_resources, job, run_of, specification

claim_resources(snakemake)

from ftft.training.runs import evaluate

with job(snakemake):
    evaluate(
        specification(snakemake),
        run_of(snakemake),
        snakemake.wildcards.dataset,
        model_folder=Path(snakemake.input.model[0]).parent,
        dataset_file=snakemake.input.dataset,
        output=snakemake.output[0],
        runtime=snakemake.config["runtime"],
        encoder=Path(snakemake.input.encoder[0]).parent if snakemake.input.encoder else None,
    )
