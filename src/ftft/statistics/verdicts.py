"""Scores at equal compute: which methods are above all that they have to beat, and from which budget on.

A run is read at its checkpoints, so that one run tells what a method scores at every budget. A method has to
beat others at the same budget, each by an interval over seeds and examples whose lower end holds together
with those of all other methods and budgets (Bonferroni).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .bootstrap import Difference, Replicates, difference
from .costs import Ledger, flops_of

# Budgets at which a method is judged, evenly spread over its length: more would widen all intervals.
BUDGETS = 4


@dataclass(frozen=True)
class Curve:
    """A method read at its checkpoints: `costs` [k] in percent of the unit, ascending, and by checkpoint the
    scores on every data set.
    """

    costs: np.ndarray
    points: Sequence[Sequence[Replicates]]

    def at(self, budget: float) -> Sequence[Replicates] | None:
        """The scores at a budget, read at the nearest checkpoint; None where even the first costs more.

        Nearest, and not the last below: selections whose texts differ by a few tokens would otherwise be
        compared a whole checkpoint apart.
        """
        spacing = np.diff(self.costs).mean() if len(self.costs) > 1 else 0.0
        reached = np.flatnonzero(self.costs <= budget + spacing / 2)
        return self.points[reached[-1]] if len(reached) else None


@dataclass(frozen=True)
class Lead:
    """How far a method is above the closest of those that it has to beat, at one budget.

    method, rival: their names; budget: percent of the unit; difference: the smallest in the mean; shown:
    whether the intervals of all differences, over more than one seed each, lie above zero.
    """

    method: str
    budget: float
    rival: str
    difference: Difference
    shown: bool


def checkpoint_costs(
    main: Sequence[Ledger],
    references: Sequence[Ledger],
    maps: Sequence[dict],
    checkpoints: int,
    passes: Sequence[dict] = (),
) -> np.ndarray:
    """FLOPs [k] that a method has taken at each of its checkpoints, means over seeds.

    Those of its reference run, data map and pass before training; of the main run's training, as many as its
    steps are of all; and of every pass over the development sets so far, for these tell where to stop.
    `main`, `references` and `maps` hold the ledgers of all seeds, `passes` those of passes before training;
    all but the first are empty for a method without. nan where FLOPs could not be counted.
    """
    looked = [np.nan if entry["flops"] is None else entry["flops"] for entry in passes]
    taken = ([flops_of(entry) for entry in references], [entry["flops"] for entry in maps], looked)
    before = sum(np.mean(found) for found in taken if found)
    passed = []
    for ledger in main:
        outcome, cost = ledger["outcome"], ledger["cost"]
        counted = [np.nan if cost[name] is None else cost[name] for name in ("flops", "evaluation_flops")]
        number = np.arange(1, checkpoints + 1)
        steps = np.minimum(number * outcome["checkpoint_interval"], outcome["steps"])
        passed.append(counted[0] * steps / outcome["steps"] + counted[1] * number / checkpoints)
    return before + np.mean(passed, axis=0)


def judged_budgets(costs: np.ndarray) -> np.ndarray:
    """The budgets, of those at a method's checkpoints, at which it is judged."""
    places = np.ceil(len(costs) * np.arange(1, BUDGETS + 1) / BUDGETS).astype(int) - 1
    return costs[np.unique(places)]


def judge(curves: Mapping[str, Curve], rivals: Mapping[str, Sequence[str]], confidence: float) -> list[Lead]:
    """The lead of every method over its `rivals` at each of its budgets.

    The lower ends of all intervals hold together with this confidence.

    A method without a rival is not judged. At a budget that no rival has come to, nothing is compared.
    """
    judged = {name: judged_budgets(curves[name].costs) for name, others in rivals.items() if others}
    # Only lower ends can show a lead, hence the 2. A method that leads has to lead over all of its rivals, so
    # that these need no correction.
    together = 1 - 2 * (1 - confidence) / max(2, sum(map(len, judged.values())))
    leads = []
    for name, budgets in judged.items():
        for budget in budgets:
            found = {other: curves[other].at(budget) for other in rivals[name]}
            compared = {
                other: difference(curves[name].at(budget), points, together)
                for other, points in found.items()
                if points is not None
            }
            if compared:
                # What cannot be compared comes first.
                closest = min(compared, key=lambda other: np.nan_to_num(compared[other].value, nan=-np.inf))
                shown = all(over.seeds > 1 and over.low > 0 for over in compared.values())
                leads.append(Lead(name, float(budget), closest, compared[closest], shown))
    return leads


def band(point: Sequence[Replicates], confidence: float) -> Difference:
    """The mean score over data sets and seeds, with an interval over seeds and examples."""
    nothing = [Replicates(part.dataset, part.seeds, 0 * part.observed, 0 * part.resampled) for part in point]
    return difference(point, nothing, confidence)
