"""What the ERM run of every model costs (paper, Table 3)."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from ..statistics.costs import computed_millions, parameter_millions, parts, relative_costs
from .notes import execution_notes
from .rendering import Rendering, write_outputs
from .tables import COSTS, Ledgers, load_ledgers

TAKEN = ("steps", "flops", "seconds", "energy_joules", "peak_memory_mb")
COLUMNS = ("task", "model", "parameters_m", *COSTS, *TAKEN)


def write_model_costs(spec: dict, ledger_files: Iterable[Path], outputs: dict[str, Path]) -> None:
    """Write Table 3: a row per task and model.

    `spec` holds `models` and `cost_of` by task, `parameters_m` by model, `seeds`; `ledger_files`
    the ledgers of all ERM runs.
    """
    ledgers = load_ledgers(ledger_files)
    rows = [row for task in spec["models"] for row in build_model_costs(task, spec, ledgers.get(task, {}))]
    table = pd.DataFrame(rows, columns=COLUMNS)
    made = [ledger for own in ledgers.values() for ledger in own.values()]
    write_outputs(outputs, table, _render(table, spec, execution_notes(made)))


def build_model_costs(task: str, spec: dict, ledgers: Ledgers) -> list[dict]:
    """One row per model of a task.

    Keys: task, model, parameters_m, the costs of `costs.relative_costs`, and means over seeds of
    what a run took: steps, flops, seconds, energy_joules, peak_memory_mb.
    """
    by_model = {key[0]: ledger for key, ledger in ledgers.items()}
    parameters = parameter_millions(by_model, spec["parameters_m"])
    computed = computed_millions(by_model, spec["parameters_m"])
    erm = {
        model: [ledgers[model, "all", "full", seed] for seed in spec["seeds"]]
        for model in spec["models"][task]
    }
    rows = []
    for model, runs in erm.items():
        costs = relative_costs(runs, [], [], runs[0], erm[spec["cost_of"][task]], computed)
        (taken,) = parts(runs, [], [])
        costs = {name: round(cost, 2) for name, cost in costs.items()}
        rows.append({"task": task, "parameters_m": parameters[model], **costs, **taken})
    return rows


def _render(table: pd.DataFrame, spec: dict, notes: list[str]) -> Rendering:
    lines = [
        [
            row.model,
            f"{row.parameters_m:.4g}",
            *(_number(value, 2) for value in (row.cost, row.cost_by_steps, row.cost_by_flops)),
            _number(row.seconds, 1),
            "-" if pd.isna(row.energy_joules) else f"{row.energy_joules / 1000:.2f}",
            _number(row.peak_memory_mb, 0),
        ]
        for row in table.itertuples()
    ]
    units = ", ".join(f"{model} ({task})" for task, model in spec["cost_of"].items())
    return Rendering(
        f"Table 3: what fine-tuning every model on all data (ERM) costs; 100 is {units}. "
        + (f"Means over {len(spec['seeds'])} seeds." if len(spec["seeds"]) > 1 else "One seed."),
        [
            "Model",
            "M parameters",
            "Cost",
            "by steps",
            "by FLOPs",
            "Seconds",
            "Energy (kJ)",
            "Peak memory (MB)",
        ],
        lines,
        list(table["task"]),
        [
            "Cost: parameters alone (6ND, as in the paper); by steps: parameters times steps; by FLOPs: "
            "counted on real tokens; seconds of training, without scoring",
            *notes,
        ],
    )


def _number(value: float, digits: int) -> str:
    return "-" if pd.isna(value) else f"{value:.{digits}f}"
