from ftft.workflow.warm import hand_over

hand_over()

from pathlib import Path

from ftft.workflow.job import claim_resources, code_of, job, run_of, specification

claim_resources(snakemake)

from ftft.training.progress import Progress
from ftft.training.runs import fine_tune

with job(snakemake) as streams:
    spec, run = specification(snakemake), run_of(snakemake)
    title = "{model} on {selection} ({budget}), seed {seed}".format(**run)
    outputs = {name: path for name, path in snakemake.output.items() if isinstance(path, str)}
    fine_tune(
        spec,
        code_of(snakemake),
        run,
        encoder=Path(snakemake.input.encoder[0]).parent,
        train_file=snakemake.input.train,
        development_files=dict(zip(spec["development"], snakemake.input.development, strict=True)),
        selection_file=snakemake.input.get("selection") or None,
        outputs={**outputs, "model": Path(snakemake.output.model[0]).parent},
        runtime=snakemake.config["runtime"],
        progress=Progress(title, streams),
    )
