"""The names of things: supervisions, budgets, runs, and the files that a run left."""

import re
from dataclasses import dataclass

from ..errors import ConfigError
from . import registry

# The supervision of all rows.
ALL_DATA = "all"
FULL_LENGTH = "full"
BUDGET_NAME = re.compile(r"full|stopped-(?P<monitor>ood|id)|steps-(?P<steps>[1-9]\d*)")
# The same as part of a longer pattern, which has groups of its own.
BUDGET = re.sub(r"\?P<\w+>", "?:", BUDGET_NAME.pattern)
# The columns of a table that say what its rows cost; statistics/costs.py defines them.
COSTS = ("cost", "cost_by_steps", "cost_by_flops", "cost_by_seconds")
# A configuration's own selections have names without a dash, so that the reference's name ends before them.
OWN = "[A-Za-z0-9_.]+"
PERCENT = r"\d+(?:\.\d+)?"


def one_of(names: list[str]) -> str:
    """A regular expression for one of these names or a selection of the configuration's own."""
    return "|".join([*map(re.escape, names), OWN])


@dataclass(frozen=True)
class Supervision:
    """What a main model trains on: a share of the training data, chosen by chance where `selector` is None.

    `reference` is None where no model is asked: for chance, and for selectors that go by the data alone.
    `selector` is a registered one, or the name of one of the configuration's own selections.
    """

    reference: str | None
    selector: str | None
    fraction: float

    @property
    def name(self) -> str:
        percent = f"{100 * self.fraction:.10f}".rstrip("0").rstrip(".")
        return "-".join(filter(None, (self.reference or "random", self.selector, percent)))

    @classmethod
    def parse(cls, name: str) -> "Supervision":
        """The supervision that `name` spells, e.g. `small-ambiguous-33`; raises ConfigError."""
        free, bound = (registry.selectors(reference=reference) for reference in (False, True))
        match = re.fullmatch(rf"random(?:-(?P<selector>{one_of(free)}))?-(?P<percent>{PERCENT})", name)
        if not match:
            match = re.fullmatch(
                rf"(?P<reference>.+?)-(?P<selector>{one_of(bound)})-(?P<percent>{PERCENT})", name
            )
        if not match or not 0 < float(match["percent"]) <= 100:
            raise ConfigError(
                f"'{name}' is not the name of a supervision",
                expected="random-PERCENT, random-SELECTOR-PERCENT or REFERENCE-SELECTOR-PERCENT, "
                "as in small-ambiguous-33",
            )
        return cls(match.groupdict().get("reference"), match["selector"], float(match["percent"]) / 100)


@dataclass(frozen=True)
class Run:
    """One training run: a model on all data (`all`) or on another supervision, with a budget.

    Budgets: `full` (to the end), `stopped-ood` and `stopped-id` (stopped early, by that monitor),
    `steps-N` (planned for N steps, with a schedule of its own).
    """

    task: str
    model: str
    supervision: str
    budget: str
    seed: int

    @property
    def path(self) -> str:
        return f"{self.task}/{self.model}/{self.supervision}/{self.budget}/seed{self.seed}"

    def files(self) -> dict[str, str]:
        """What the run left, and the supervision that it trained on, by kind."""
        files = {
            "model": f"results/runs/{self.path}/model/",
            "ledger": f"results/runs/{self.path}/ledger.json",
            "trajectory": f"results/runs/{self.path}/trajectory.parquet",
            "log": f"logs/train/{self.path}.log",
            "evaluations": f"results/evaluations/{self.path}/",
        }
        if self.supervision == ALL_DATA:
            return files
        supervision = f"results/supervisions/{self.task}/{self.supervision}/seed{self.seed}"
        return files | {"supervision": f"{supervision}.parquet", "supervision_ledger": f"{supervision}.json"}
