"""What a method costs, the ERM run of one model being 100: four ways to count it, and its parts."""

from collections.abc import Iterable

import numpy as np

Ledger = dict


def parameter_millions(ledgers: dict[str, Ledger], configured: dict[str, float | None]) -> dict[str, float]:
    """Millions of parameters by model, all by one convention.

    As configured, if every model has such an entry; else counted, without input embeddings.
    `ledgers` holds one ledger per model.
    """
    if all(configured.get(model) for model in ledgers):
        return {model: configured[model] for model in ledgers}
    return {
        model: ledger["cost"]["parameters"]["without_embeddings"] / 1e6 for model, ledger in ledgers.items()
    }


def computed_share(ledger: Ledger) -> float:
    """The FLOPs of a step as a share of those where all weights are trained. The forward pass, the gradients
    of the inputs and those of the weights take a third each; only the last shrinks with an adapter.
    """
    counts = ledger["cost"]["parameters"]
    return (2 + counts.get("trained", counts["without_embeddings"]) / counts["without_embeddings"]) / 3


def computed_millions(ledgers: dict[str, Ledger], configured: dict[str, float | None]) -> dict[str, float]:
    """`parameter_millions` that a step computes with: fewer where an adapter is trained."""
    millions = parameter_millions(ledgers, configured)
    return {model: millions[model] * computed_share(ledger) for model, ledger in ledgers.items()}


def method_cost(main: float, unit: float, share: float = 1.0, reference: float = 0.0) -> float:
    """Cost of a main run that consumed `share` of its planned checkpoints, and of its reference run.

    `main`, `unit`, `reference` are parameter counts of the main model, the model whose ERM run is
    100, and the reference model (0 for none). FLOPs are 6ND with one D for all runs; a reference
    run always goes to its end (paper, Appendix A.2).
    """
    return 100 * (reference + share * main) / unit


def consumed_share(ledger: Ledger, full_length: Ledger) -> float:
    """Checkpoints that a run trained for over those it planned, scaled to the length of a full run."""
    outcome = ledger["outcome"]
    length = outcome["planned_steps"] / full_length["outcome"]["planned_steps"]
    return length * outcome["consumed_checkpoints"] / outcome["planned_checkpoints"]


def relative_costs(
    main: list[Ledger],
    references: list[Ledger],
    supervisions: list[Ledger],
    full_length: Ledger,
    unit: list[Ledger],
    parameters: dict[str, float],
) -> dict[str, float]:
    """Costs of a method in percent of the runs `unit`, each argument holding the ledgers of all seeds.

    cost: the paper's, by parameters and checkpoints (`method_cost`). cost_by_steps: parameters times
    steps, as runs of different lengths ask for. cost_by_flops: counted FLOPs on real tokens (`flops_of`),
    cost_by_seconds: the time taken (`seconds_of`), both with those of the map, the seconds with those of the
    supervision too. `references` and `supervisions` are empty for methods without them, `full_length` is an
    ERM run of the main model.
    """
    model, unit_model = main[0]["run"]["model"], unit[0]["run"]["model"]
    reference = parameters[references[0]["run"]["model"]] if references else 0.0
    share = float(np.mean([consumed_share(ledger, full_length) for ledger in main]))

    def percent(measure) -> float:
        parts = sum(_mean(map(measure, ledgers)) for ledgers in (main, references) if ledgers)
        return 100 * parts / _mean(map(measure, unit))

    def selecting(name: str, measure) -> float:
        taken = _mean(ledger[name] for ledger in supervisions) if supervisions else 0.0
        return 100 * taken / _mean(map(measure, unit))

    return {
        "cost": method_cost(parameters[model], parameters[unit_model], share, reference),
        "cost_by_steps": percent(
            lambda ledger: parameters[ledger["run"]["model"]] * ledger["outcome"]["steps"]
        ),
        "cost_by_flops": percent(flops_of) + selecting("flops", flops_of),
        "cost_by_seconds": percent(seconds_of) + selecting("seconds", seconds_of),
    }


def parts(main: list[Ledger], references: list[Ledger], supervisions: list[Ledger]) -> list[dict]:
    """What the parts of a method took, means over seeds.

    One row each for the reference runs, the supervision and the main runs: part, model, steps, flops
    (`flops_of`), seconds (`seconds_of`), energy_joules, peak_memory_mb, runs; nan where the device reports
    nothing.
    """
    rows = []
    for part, ledgers in (("reference", references), ("main", main)):
        if ledgers:
            cost = [ledger["cost"] for ledger in ledgers]
            rows.append(
                {
                    "part": part,
                    "model": ledgers[0]["run"]["model"],
                    "steps": _mean(ledger["outcome"]["steps"] for ledger in ledgers),
                    "flops": _mean(map(flops_of, ledgers)),
                    "seconds": _mean(map(seconds_of, ledgers)),
                    "energy_joules": _mean(_number(entry["energy_joules"]) for entry in cost),
                    "peak_memory_mb": _mean(entry["peak_memory_mb"] for entry in cost),
                    "runs": len(ledgers),
                }
            )
    if supervisions:
        taken = {
            name: _mean(ledger[name] for ledger in supervisions)
            for name in ("flops", "seconds", "peak_memory_mb")
        }
        rows.insert(-1, {"part": "supervision", **taken, "runs": len(supervisions)})
    return rows


def seconds_of(ledger: Ledger) -> float:
    """What a run took: its training, and the scoring of development sets where that decides when it stops."""
    cost = ledger["cost"]
    return cost["training_seconds"] + (
        cost["evaluation_seconds"] if ledger["spec"]["early_stopping"] else 0.0
    )


def flops_of(ledger: Ledger) -> float:
    """FLOPs of a run: its training, and the passes over development sets where they decide when it stops.

    nan where they could not be counted.
    """
    cost = ledger["cost"]
    passes = _number(cost["evaluation_flops"]) if ledger["spec"]["early_stopping"] else 0.0
    return _number(cost["flops"]) + passes


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
