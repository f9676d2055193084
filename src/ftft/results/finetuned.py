"""The model that a practitioner takes home: the best of the FTFT runs, its scores and its model card."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ..artifacts import read_json, read_parquet, replacing_files, require_model_of, write_text
from ..errors import TrainingError
from ..statistics.bootstrap import resample_scores
from ..statistics.costs import consumed_share, method_cost, parameter_millions
from ..statistics.scores import has_failed, read_evaluation
from ..tasks.metrics import majority_score
from .model_card import model_card
from .rendering import write_csv


def write_finetuned(
    spec: dict,
    ledger_files: Sequence[Path],
    evaluation_files: Sequence[Path],
    reference_files: Sequence[Path],
    checks_file: Path,
    model_files: Sequence[Path],
) -> None:
    """Leave the run with the best monitored score as `model_files`, scores.csv and README.md beside them.

    `spec` is the rule's slice; ledgers and evaluations are those of the main runs, one per seed, references
    the ledgers of their reference runs. A ledger's folder holds its run's model and trajectory.
    Raises TrainingError where no run learnt anything, ArtifactError for a model that is not its run's.
    """
    ledgers = {file: read_json(file) for file in ledger_files}
    good = [file for file, ledger in ledgers.items() if not has_failed(ledger, spec["metric"])]
    if not good:
        outcome = ledgers[ledger_files[0]]["outcome"]
        raise TrainingError(
            f"no run of {spec['main']} learnt to classify better than the most frequent label",
            got=f"{outcome['validation'][spec['metric']]:.4f} on the validation set",
            expected=f"above {outcome['majority'][spec['metric']]:.4f}",
            fix="lower the learning rate, train for longer, or choose another reference",
        )
    # Of equal ones the first.
    best = max(good, key=lambda file: _monitored_score(ledgers[file], file.with_name("trajectory.parquet")))
    kept = ledgers[best]
    model = best.with_name("model")
    require_model_of(kept["run"], model)
    scores = score_runs(spec, dict(zip(ledger_files, evaluation_files, strict=True)), good, best)
    references = [read_json(file) for file in reference_files]
    cost = expected_cost(list(ledgers.values()), references, spec["parameters_m"])
    with replacing_files(Path(model_files[0]).parent) as temporary:
        for name in (Path(file).name for file in model_files):
            (temporary / name).write_bytes((model / name).read_bytes())
        write_csv(temporary / "scores.csv", scores)
        card = model_card(spec, kept, references, read_json(checks_file), scores, cost, len(good))
        write_text(temporary / "README.md", card)


def _monitored_score(ledger: dict, trajectory_file: Path) -> float:
    """The score that the run was stopped by, at the checkpoint that it kept."""
    rule = ledger["spec"]["early_stopping"]
    trajectory = read_parquet(trajectory_file)[0].to_pandas()
    kept = trajectory["checkpoint"] == ledger["outcome"]["kept_checkpoint"]
    monitored = trajectory["dataset"].isin(rule["monitored"]) & (trajectory["metric"] == rule["metric"])
    return float(trajectory.loc[kept & monitored, "value"].mean())


def score_runs(
    spec: dict, evaluations: Mapping[Path, Path], good: Sequence[Path], best: Path
) -> pd.DataFrame:
    """One row per evaluation set: dataset, instances, the score of the run `best` with its bootstrap interval
    over examples (low, high), majority (the most frequent label's), and mean and std over the `good` runs.

    Runs go by their ledgers' files. std is empty for a single run.
    """
    frames = [read_evaluation(evaluations[file], file)[0].to_pandas() for file in good]
    classes, place, tail = len(spec["labels"]), good.index(best), (1 - spec["confidence"]) / 2
    rows = []
    for dataset in spec["datasets"]:
        parts = [frame[frame["dataset"] == dataset] for frame in frames]
        labels = parts[place]["label"].to_numpy("int64")
        predictions = {
            "runs": {index: part["prediction"].to_numpy("int64") for index, part in enumerate(parts)}
        }
        resampled = resample_scores(dataset, labels, predictions, classes, spec["metric"], spec["resamples"])
        replicates = resampled["runs"]
        low, high = np.quantile(replicates.resampled[:, place], [tail, 1 - tail])
        rows.append(
            {
                "dataset": dataset,
                "instances": len(labels),
                "score": replicates.observed[place],
                "low": low,
                "high": high,
                "majority": majority_score(labels, classes)[spec["metric"]],
                "mean": replicates.observed.mean(),
                "std": replicates.observed.std(ddof=1) if len(good) > 1 else np.nan,
            }
        )
    return pd.DataFrame(rows)


def expected_cost(main: list[dict], references: list[dict], configured: dict) -> dict[str, float]:
    """Cost of reference and main run in percent of an ERM run of the main model, which need not exist.

    As the cost column of the paper counts (`costs.method_cost`), means over seeds: reference, main, total.
    """
    by_model = {ledgers[0]["run"]["model"]: ledgers[0] for ledgers in (main, references)}
    parameters = parameter_millions(by_model, configured)
    unit, reference = (parameters[ledgers[0]["run"]["model"]] for ledgers in (main, references))
    share = float(np.mean([consumed_share(ledger, ledger) for ledger in main]))
    total = method_cost(unit, unit, share, reference)
    return {"reference": 100 * reference / unit, "main": total - 100 * reference / unit, "total": total}
