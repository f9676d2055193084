from ftft.pipeline.warm import hand_over

hand_over()

from pathlib import Path

from ftft.pipeline.job import claim_resources, job, run_of, specification

claim_resources(snakemake)

from ftft.training.runs import evaluate

with job(snakemake):
    spec = specification(snakemake)
    evaluate(
        spec,
        run_of(snakemake),
        model_folder=Path(snakemake.input.model[0]).parent,
        dataset_files=dict(zip(spec["datasets"], snakemake.input.datasets, strict=True)),
        output=snakemake.output[0],
        runtime=snakemake.config["runtime"],
    )
