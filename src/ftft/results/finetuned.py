"""The model that a practitioner takes home: the best of the FTFT runs, its scores and its model card."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ..artifacts import read_json, read_parquet, require_model_of, write_text
from ..errors import ArtifactError, TrainingError
from ..replacing import replacing_files
from ..statistics.bootstrap import resample_scores
from ..statistics.costs import computed_millions, consumed_share, method_cost
from ..statistics.exclusions import RunKey, exclusions, references_of_rows, run_key
from ..statistics.frames import write_csv
from ..statistics.scores import Evaluation, choosing_sets
from ..tasks.base import kind_of
from ..tasks.metrics import metric
from .model_card import model_card

COLUMNS = ("dataset", "instances", "score", "low", "high", "floor", "mean", "std", "chose")


def write_finetuned(
    spec: dict,
    ledger_files: Sequence[Path],
    evaluation_files: Sequence[Path],
    reference_files: Sequence[Path],
    checks_file: Path,
    model_files: Sequence[Path],
    encoder: Path | None = None,
    pass_file: Path | None = None,
) -> None:
    """Leave the run with the best monitored score as `model_files`, scores.csv and README.md beside them.

    Where it is an adapter, of the `encoder` in a folder, these are of the merged model, and the adapter lies
    in a folder beside them. `spec` is the rule's slice; ledgers are those of the main runs, one per seed,
    evaluations have a file per run and data set, references are the ledgers of their reference runs,
    none where the reference is asked before its training alone, and `pass_file` says what that took. A
    ledger's folder holds its run's model and trajectory. Raises TrainingError where no run and its reference
    learnt anything, ArtifactError for a model that is not its run's.
    """
    ledgers = {Path(file): read_json(file) for file in ledger_files}
    references = [read_json(file) for file in reference_files]
    excluded = exclusions([*ledgers.values(), *references], references_of_rows([spec]), spec["metric"])
    good = {file: ledger for file, ledger in ledgers.items() if run_key(ledger["run"]) not in excluded}
    if not good:
        keys = [run_key(ledger["run"]) for ledger in ledgers.values()]
        raise TrainingError(
            f"no run of {spec['main']} can be taken home",
            got="; ".join(f"seed {key[-1]}: {excluded[key]}" for key in keys),
            expected="a run that does better than the trivial answer, and so does its reference",
            fix="lower the learning rate, train for longer, or choose another reference",
        )
    # Of equal ones the first.
    best = max(good, key=lambda file: _monitored_score(good[file], file.with_name("trajectory.parquet")))
    kept = good[best]
    model = best.with_name("model")
    require_model_of(kept["run"], model)
    evaluations = load_evaluations(evaluation_files)
    scores = score_runs(
        spec, evaluations, list(map(run_key, (ledger["run"] for ledger in good.values()))), kept
    )
    cost = expected_cost(list(good.values()), _same_seeds(references, good.values()), spec["parameters_m"])
    with replacing_files(Path(model_files[0]).parent) as temporary:
        if encoder is None:
            for name in (Path(file).name for file in model_files):
                (temporary / name).write_bytes((model / name).read_bytes())
        else:
            _merge(spec, model, encoder, temporary, Path(model_files[0]).parent / "adapter")
        write_csv(temporary / "scores.csv", scores)
        checks, divided = read_json(checks_file), _is_encoder_decoder(temporary)
        passed = read_json(pass_file)["seconds"] if pass_file else 0.0
        card = model_card(spec, kept, references, checks, scores, cost, excluded, divided, passed)
        write_text(temporary / "README.md", card)


def _merge(spec: dict, model: Path, encoder: Path, merged: Path, alone: Path) -> None:
    # Torch is loaded for adapters only.
    from ..training.saved import write_merged

    kind = kind_of(spec["kind"])
    with replacing_files(alone) as temporary:
        write_merged(kind, model, encoder, kind.label_names(spec), _base(spec, encoder), merged, temporary)


def _base(spec: dict, encoder: Path) -> dict[str, str]:
    """What the adapter is an adapter of: the model on the hub, or the prepared encoder where it differs."""
    source = spec["main_source"]
    if source["source"] == "hub" and "keep_layers" not in source:
        return {"name": source["id"], "revision": source["revision"]}
    return {"name": str(encoder)}


def _is_encoder_decoder(model: Path) -> bool:
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    return config.get("is_encoder_decoder", False)


def _same_seeds(references: list[dict], main: Sequence[dict]) -> list[dict]:
    seeds = {ledger["run"]["seed"] for ledger in main}
    return [ledger for ledger in references if ledger["run"]["seed"] in seeds]


def _monitored_score(ledger: dict, trajectory_file: Path) -> float:
    """The score that the run was stopped by, at the checkpoint that it kept."""
    rule = ledger["spec"]["early_stopping"]
    trajectory = read_parquet(trajectory_file)[0].to_pandas()
    kept = trajectory["checkpoint"] == ledger["outcome"]["kept_checkpoint"]
    monitored = trajectory["dataset"].isin(rule["monitored"]) & (trajectory["metric"] == rule["metric"])
    return float(trajectory.loc[kept & monitored, "value"].mean())


def load_evaluations(files: Sequence[Path]) -> dict[tuple[RunKey, str], Evaluation]:
    """Evaluations by run and data set."""
    loaded = map(Evaluation, files)
    return {(run_key(evaluation.run), evaluation.dataset): evaluation for evaluation in loaded}


def score_runs(
    spec: dict, evaluations: Mapping[tuple[RunKey, str], Evaluation], good: Sequence[RunKey], kept: dict
) -> pd.DataFrame:
    """One row per evaluation set, of the `good` runs and of one of them, with the ledger `kept`.

    Columns: dataset, instances, the score of the kept run with its bootstrap interval over examples (low,
    high), floor (the trivial answer's), mean and std over the good runs (std is empty for a single run), and
    chose: what the set chose of this model (checkpoint, seed), so that its score is too high; else empty.
    Raises ArtifactError where an evaluation is lacking.
    """
    place, tail = list(good).index(run_key(kept["run"])), (1 - spec["confidence"]) / 2
    chosen = "checkpoint and seed" if len(good) > 1 else "checkpoint"
    rows = []
    for dataset in spec["datasets"]:
        parts = [evaluations.get((key, dataset)) for key in good]
        if None in parts:
            raise ArtifactError(
                f"a run lacks its evaluation on '{dataset}'", expected="one per run and data set"
            )
        first = parts[0]
        for part in parts:
            part.require_examples_of(first)
        runs = {"runs": {index: part.predictions for index, part in enumerate(parts)}}
        resampled = resample_scores(
            dataset, first.targets, runs, first.labels, spec["metric"], spec["resamples"]
        )
        replicates = resampled["runs"]
        low, high = np.nanquantile(replicates.resampled[:, place], [tail, 1 - tail])
        rows.append(
            {
                "dataset": dataset,
                "instances": len(first.targets),
                "score": replicates.observed[place],
                "low": low,
                "high": high,
                "floor": metric(spec["metric"]).floor(first.targets, first.labels),
                "mean": replicates.observed.mean(),
                "std": replicates.observed.std(ddof=1) if len(good) > 1 else np.nan,
                "chose": chosen if dataset in choosing_sets(kept) else "",
            }
        )
    return pd.DataFrame(rows, columns=COLUMNS)


def expected_cost(main: list[dict], references: list[dict], configured: dict) -> dict[str, float]:
    """Cost of reference and main run in percent of an ERM run of the main model, which need not exist.

    As the cost column of the paper counts (`costs.method_cost`), means over seeds: reference (0 without
    reference runs), main, total.
    """
    by_model = {ledgers[0]["run"]["model"]: ledgers[0] for ledgers in (main, references) if ledgers}
    parameters = computed_millions(by_model, configured)
    unit = parameters[main[0]["run"]["model"]]
    reference = parameters[references[0]["run"]["model"]] if references else 0.0
    share = float(np.mean([consumed_share(ledger, ledger) for ledger in main]))
    total = method_cost(unit, unit, share, reference)
    return {"reference": 100 * reference / unit, "main": total - 100 * reference / unit, "total": total}
