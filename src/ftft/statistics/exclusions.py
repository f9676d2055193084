"""Which runs count: those that learnt something, and whose reference did."""

from collections.abc import Iterable, Mapping

from ..errors import ArtifactError
from ..tasks.metrics import has_failed, metric

# A run of one task: model, supervision, budget, seed.
RunKey = tuple[str, str, str, int]
# The supervision and the budget of a reference run.
REFERENCE = ("all", "full")


def run_key(run: dict) -> RunKey:
    """The key of a run within its task."""
    return run["model"], run["supervision"], run["budget"], run["seed"]


def references_of_rows(rows: Iterable[dict]) -> dict[str, str]:
    """By supervision, the reference model whose training it goes by; supervisions without one are absent."""
    return {
        row["supervision"]: row["reference"]
        for row in rows
        if row.get("reference", "random") != "random" and row.get("trained", True)
        if row["supervision"] != REFERENCE[0]
    }


def exclusions(
    ledgers: Iterable[dict], references: Mapping[str, str], failure_metric: str
) -> dict[RunKey, str]:
    """By run, why it counts as failed; good runs are absent.

    A run fails where it ended no better than the trivial answer, or where its reference run did. `ledgers`
    are those of one task's runs, reference runs included; `references` as from `references_of_rows`.
    Raises ArtifactError where the ledger of a reference run is not among them.
    """
    by_run = {run_key(ledger["run"]): ledger["outcome"] for ledger in ledgers}
    found = {}
    for key, outcome in by_run.items():
        _, supervision, _, seed = key
        if has_failed(outcome, failure_metric):
            found[key] = f"it learnt nothing ({failure(outcome, failure_metric)})"
        elif supervision in references:
            name = references[supervision]
            reference = by_run.get((name, *REFERENCE, seed))
            if reference is None:
                raise ArtifactError(
                    f"nothing tells whether the reference run of {supervision}, seed {seed}, learnt anything",
                    expected=f"the ledger of {name}, seed {seed}, among those given",
                )
            if has_failed(reference, failure_metric):
                found[key] = f"its reference {name} learnt nothing ({failure(reference, failure_metric)})"
    return found


def failure(outcome: dict, name: str) -> str:
    """Why a run counts as failed, in words: its score in distribution beside that of the trivial answer."""
    got, floor = outcome["validation"][name], outcome["floor"][name]
    return f"{metric(name).label} {100 * got:.2f}, of the trivial answer {100 * floor:.2f}"
