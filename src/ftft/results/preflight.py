"""What reference runs say before any main run: a verdict on every transfer (paper, section 4.3).

Effective references find more easy instances than ineffective ones. The paper calls that a rough indicator,
and it is the one that needs no main run.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import json
import numpy as np
import pandas as pd
from safetensors import SafetensorError, safe_open

from ..artifacts import read_json
from ..cartography.datamap import DataMap
from ..cartography.overlap import overlap_matrix
from ..cartography.selection import easy_share, select_region
from ..errors import ArtifactError
from ..statistics.costs import method_cost
from ..statistics.scores import has_failed
from .easy_share import RATES

# From the best to the worst.
VERDICTS = PROMISING, DOUBTFUL, POOR = ("promising", "doubtful", "poor")
# At this rate the paper's prose tells effective references from others.
RATE = 0.50
# Agreement beyond chance below which Landis & Koch (1977) call a kappa slight.
SLIGHT = 0.2


@dataclass(frozen=True)
class Reference:
    """What the runs of one reference model showed; arrays hold a value per run that did not fail.

    easy: percent of easy instances by rate; scores: of the task's metric in distribution; majority: what the
    most frequent label would score; between_seeds, with_others: mean shared fraction of the model's
    ambiguous instances, by pairs of its own runs and by pairs with runs of other references (nan: no pair).
    """

    easy: dict[float, np.ndarray]
    scores: np.ndarray
    majority: float
    failed: int
    between_seeds: float
    with_others: float

    @property
    def easy_share(self) -> float:
        """Percent of easy instances at the rate of the verdict, as the paper prints it; nan: all failed."""
        return round(_mean(self.easy[RATE]), 2)


@dataclass(frozen=True)
class Band:
    """The paper's percent of easy instances on the tasks that `compared` names.

    `poor` is the most of its ineffective references, `promising` the least of its effective ones.
    """

    poor: float
    promising: float
    compared: str


def measure(spec: dict, map_files: Iterable[Path], ledger_files: Iterable[Path]) -> dict[str, Reference]:
    """What the runs of every reference model showed, failed ones counted and left out.

    `spec` holds `runs` (model, seed; one map and one ledger each), the task's `metric`, and `fraction` and
    `rule` of the selection whose overlap is measured.
    """
    models, easy, chosen = [], [], []
    ledgers = list(map(read_json, ledger_files))
    good = [not has_failed(ledger, spec["metric"]) for ledger in ledgers]
    for (model, _), map_file, succeeded in zip(spec["runs"], map_files, good, strict=True):
        if succeeded:
            data_map, _ = DataMap.load(map_file)
            models.append(model)
            easy.append([100 * easy_share(data_map, rate) for rate in RATES])
            chosen.append(select_region(data_map, "ambiguous", spec["fraction"], spec["rule"]))
    shared = overlap_matrix(chosen) if chosen else np.empty((0, 0))
    np.fill_diagonal(shared, np.nan)
    easy, of_run = np.array(easy).reshape(-1, len(RATES)), np.array(models, str)
    found = {}
    for model in dict.fromkeys(model for model, _ in spec["runs"]):
        runs = zip(spec["runs"], ledgers, good, strict=True)
        outcomes = [(ledger["outcome"], succeeded) for (name, _), ledger, succeeded in runs if name == model]
        own = of_run == model
        found[model] = Reference(
            dict(zip(RATES, easy[own].T, strict=True)),
            np.array([outcome["validation"][spec["metric"]] for outcome, succeeded in outcomes if succeeded]),
            outcomes[0][0]["majority"][spec["metric"]],
            sum(not succeeded for _, succeeded in outcomes),
            _mean(shared[np.ix_(own, own)]),
            _mean(shared[np.ix_(own, ~own)]),
        )
    return found


def parameter_count(folder: Path) -> int:
    """Parameters of a prepared encoder without input embeddings and pooler, by the header of its weights.

    What `cost.parameters.without_embeddings` of a ledger counts, less the head. Raises ArtifactError.
    """
    weights = Path(folder) / "model.safetensors"
    vocabulary = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8")).get("vocab_size")
    try:
        with safe_open(weights, "np") as file:
            shapes = {name: file.get_slice(name).get_shape() for name in sorted(file.keys())}
    except (OSError, SafetensorError) as error:
        raise ArtifactError(
            f"{weights} cannot be read",
            got=str(error),
            expected="a whole safetensors file",
            fix=f"delete it and let snakemake make it again: snakemake {weights}",
        ) from error
    return sum(
        int(np.prod(shape, dtype=np.int64))
        for name, shape in shapes.items()
        if not name.startswith("pooler.") and not ("embed" in name and shape[:1] == [vocabulary])
    )


def band_of(spec: dict) -> Band:
    """Where the paper's effective and ineffective references lie; of several tasks, where all agree.

    `spec` holds `published` (percent by task, effect and model) and the tasks that are `compared`.
    """
    published = [spec["published"][task] for task in spec["compared"]]
    return Band(
        poor=min(max(shares["ineffective"].values()) for shares in published),
        promising=max(min(shares["effective"].values()) for shares in published),
        compared=" and ".join(task.upper() for task in spec["compared"]),
    )


def judge(reference: Reference, band: Band, chance: float) -> tuple[str, list[str]]:
    """The verdict on transfers from a reference, the worst of its findings, and what was found.

    `chance` is the fraction of the data that ambiguous subsets hold, which independent ones share.
    """
    runs = len(reference.scores)
    if not runs:
        return POOR, ["no run did better than the majority class"]
    findings = [_easy_finding(reference.easy_share, band)]
    if reference.failed:
        did_not = (
            f"{reference.failed} of {runs + reference.failed} runs did no better than the majority class"
        )
        findings.append((DOUBTFUL, did_not))
    # For subsets of one size Cohen's kappa is (shared - chance) / (1 - chance).
    if reference.between_seeds - chance < SLIGHT * (1 - chance):
        shared = f"its runs share {100 * reference.between_seeds:.0f} % of their ambiguous instances"
        findings.append((DOUBTFUL, f"{shared}, where {100 * chance:.0f} % is chance"))
    if runs == 1:
        findings.append((PROMISING, "how far seeds agree is not known from one run"))
    return max((verdict for verdict, _ in findings), key=VERDICTS.index), [text for _, text in findings]


def _easy_finding(share: float, band: Band) -> tuple[str, str]:
    found = f"{share:.2f} % of the instances are easy"
    if share >= band.promising:
        return PROMISING, f"{found}, as with the paper's effective references ({band.promising:.2f} or more)"
    if share <= band.poor:
        return POOR, f"{found}, as with the paper's ineffective references ({band.poor:.2f} or less)"
    between = f"ineffective ({band.poor:.2f} or less) and effective references ({band.promising:.2f} or more)"
    return DOUBTFUL, f"{found}, between the paper's {between}"


def build_preflight(
    spec: dict, references: dict[str, Reference], parameters: dict[str, float]
) -> pd.DataFrame:
    """One row per main and reference model.

    `spec` as for `measure` and `band_of`, with `pairs` (main, reference) and the paper's `consumed_shares`;
    `parameters` holds counts by model.

    Columns: main, reference, easy_10 ... easy_50 (means over runs, percent) and easy_50_std, id_score (mean)
    and its _std, majority, runs, failed, overlap_seeds, overlap_others, overlap_chance, parameter_ratio
    (reference to main), cost_low and cost_high of FTFT (ERM of the main model is 100; the main model stops
    as early as any of the paper's, or never), verdict, reasons, cost_note.
    """
    rows, band = [], band_of(spec)
    for main, name in spec["pairs"]:
        reference = references[name]
        verdict, reasons = judge(reference, band, spec["fraction"])
        ratio = parameters[name] / parameters[main]
        low, high = (
            method_cost(1.0, 1.0, share, reference=ratio) for share in (min(spec["consumed_shares"]), 1.0)
        )
        rows.append(
            {
                "main": main,
                "reference": name,
                **{f"easy_{100 * rate:.0f}": _mean(reference.easy[rate]) for rate in RATES},
                f"easy_{100 * RATE:.0f}_std": _deviation(reference.easy[RATE]),
                "id_score": _mean(reference.scores),
                "id_score_std": _deviation(reference.scores),
                "majority": reference.majority,
                "runs": len(reference.scores),
                "failed": reference.failed,
                "overlap_seeds": reference.between_seeds,
                "overlap_others": reference.with_others,
                "overlap_chance": spec["fraction"],
                "parameter_ratio": ratio,
                "cost_low": low,
                "cost_high": high,
                "verdict": verdict,
                "reasons": "; ".join(reasons),
                "cost_note": cost_note(ratio, low, high),
            }
        )
    return pd.DataFrame(rows)


def cost_note(ratio: float, low: float, high: float) -> str:
    """What FTFT is expected to cost; `ratio` is the reference's size to the main model's."""
    span = f"{low:.0f} to {high:.0f} % of ERM"
    if low >= 100:
        return f"FTFT does not pay: it costs {span}"
    return f"FTFT costs {span}; it pays if the main run stops before {100 * (1 - ratio):.0f} % of its length"


def _mean(values: np.ndarray) -> float:
    kept = values[~np.isnan(values)]
    return float(kept.mean()) if kept.size else float("nan")


def _deviation(values: np.ndarray) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
