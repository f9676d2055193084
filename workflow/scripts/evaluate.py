from ftft.workflow.warm import hand_over

hand_over()

from pathlib import Path

from ftft.workflow.job import job, run_of, set_threads, specification

set_threads(snakemake)

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
