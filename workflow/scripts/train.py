from ftft.pipeline.warm import hand_over

hand_over()

from pathlib import Path

from ftft.pipeline.job import claim_resources, code_of, job, processes_of, run_of, specification

claim_resources(snakemake)

from ftft.execution.progress import Progress
from ftft.execution.workers import fine_tune_together
from ftft.training.runs import fine_tune

with job(snakemake) as streams:
    spec, run, runtime = specification(snakemake), run_of(snakemake), snakemake.config["runtime"]
    name = "{task}/{model}/{supervision}/{budget}/seed{seed}".format(**run)
    title = "{model} on {supervision} ({budget}), seed {seed}".format(**run)
    progress = {"title": title, "run": name, "trackers": runtime["trackers"]}
    files = ("trajectory", "ledger", "dynamics")
    outputs = {name: path for name, path in snakemake.output.items() if name in files}
    arguments = {
        "spec": spec,
        "code": code_of(snakemake),
        "run": run,
        "encoder": str(Path(snakemake.input.encoder[0]).parent),
        "train_file": snakemake.input.train,
        "development_files": dict(zip(spec["development"], snakemake.input.development, strict=True)),
        "selection_file": snakemake.input.get("supervision") or None,
        "outputs": {**outputs, "model": str(Path(snakemake.output.model).parent)},
        "runtime": runtime,
    }
    processes = processes_of(snakemake)
    if processes == 1:
        fine_tune(**arguments, progress=Progress(streams=streams, **progress))
    else:
        fine_tune_together(processes, snakemake.resources.get("nodes", 1), arguments, progress, streams)
