from ftft.execution import launch
from ftft.pipeline.job import claim_resources, code_of, job, processes_of, run_of, specification
from ftft.pipeline.warm import hand_over

processes = processes_of(snakemake)
if processes == 1:
    hand_over()

import sys
from pathlib import Path

claim_resources(snakemake)


def train(streams):
    spec, run, runtime = specification(snakemake), run_of(snakemake), snakemake.config["runtime"]
    name = "{task}/{model}/{supervision}/{budget}/seed{seed}".format(**run)
    title = "{model} on {supervision} ({budget}), seed {seed}".format(**run)
    file = Path(snakemake.log[0]).with_suffix(".json")
    refuses = snakemake.config["checks"]["failed_reference"] == "refuse"
    # Where the rules are a module with a prefix, results and logs lie below it.
    root = file.parents[name.count("/") + 2]
    # Of several processes the first alone shows and leaves its progress.
    shown = (
        Progress("", []) if launch.rank() else Progress(title, streams, runtime["trackers"], name, file, root)
    )
    with shown as progress:
        from ftft.execution.processes import ProcessGroup
        from ftft.pipeline.config import Configuration
        from ftft.pipeline.continuation import gone_on_from
        from ftft.training.runs import fine_tune

        files = ("trajectory", "development", "ledger", "dynamics", "held_out")
        outputs = {name: path for name, path in snakemake.output.items() if name in files}
        if "model" in dict(snakemake.output.items()):
            outputs["model"] = Path(snakemake.output.model).parent
        fine_tune(
            spec=spec,
            code=code_of(snakemake),
            run=run,
            encoder=Path(snakemake.input.encoder[0]).parent,
            train_file=snakemake.input.train,
            development_files=dict(zip(spec["development"], snakemake.input.development, strict=True)),
            supervision_file=snakemake.input.get("supervision") or None,
            reference_ledger=(snakemake.input.get("reference") or None) if refuses else None,
            failure_metric=snakemake.config["tasks"][run["task"]]["metric"],
            outputs=outputs,
            runtime=runtime,
            progress=progress,
            group=ProcessGroup(launch.rank() or 0, processes),
            fold=snakemake.wildcards.get("fold"),
            gone_on_from=name in gone_on_from(Configuration.model_validate(snakemake.config)),
        )


with job(snakemake) as streams:
    if processes > 1 and launch.rank() is None:
        launch.start_processes(sys.argv[0], processes, snakemake.resources.get("nodes", 1))
    else:
        from ftft.execution.progress import Progress

        train(streams)
