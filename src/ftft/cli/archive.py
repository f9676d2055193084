"""`ftft archive`: a table's predictions and ledgers, without texts, in a folder that makes it again."""

import argparse
from collections.abc import Mapping
from pathlib import Path

import yaml

from ..artifacts import Provenance, working
from ..errors import ConfigError
from ..pipeline import parameters, plan
from ..pipeline.compare import compare_name, table_of
from ..pipeline.config import Configuration, Table, check_file, resolve
from ..pipeline.contract import Expectations
from ..pipeline.names import Run
from ..results.archive import write_archive
from ..results.tables import load_supervising


def archive(chosen: argparse.Namespace) -> None:
    """Archive the table `chosen.table` of the configuration in `chosen.configfile`, whose runs lie in
    `chosen.results`, in the folder `chosen.folder`.

    Raises ConfigError for a table that the configuration lacks, and ArtifactError for files that are missing,
    damaged, made by other settings, or hold texts.
    """
    merged: dict = {}
    for file in chosen.configfile:
        check_file(file)
        merged = _laid_over(merged, yaml.safe_load(file.read_text(encoding="utf-8")))
    config = resolve(merged)
    try:
        table = table_of(config, chosen.table)
    except KeyError:
        names = [*config.tables, *map(compare_name, config.finetune)]
        raise ConfigError(
            "there is no such table", got=repr(chosen.table), expected=f"one of {', '.join(names)}"
        ) from None
    runs = plan.table_runs(table, config)
    results = chosen.results
    with working(Provenance(expected=Expectations(config))):
        supervising = load_supervising(
            parameters.table_slice(config, chosen.table)["rows"],
            _files(results, (run.files().get("supervision_ledger") for run in runs)),
            [
                results / "maps" / run.task / run.model / f"seed{run.seed}.json"
                for run in plan.table_reference_runs(table, config)
            ],
        )
        write_archive(
            _specs(config, chosen.table, table),
            [
                results / "evaluations" / run.path / f"{name}.parquet"
                for run in runs
                for name in config.tasks[table.task].evaluate
            ],
            _files(results, (run.files()["ledger"] for run in _counted(runs, config, table))),
            supervising,
            chosen.folder,
        )
    print(f"{chosen.folder}: {len(runs)} runs; python -m ftft.results.archive {chosen.folder} checks it")


def _specs(config: Configuration, table: str, entry: Table) -> dict:
    shown = parameters.table_slice(config, table)
    return {
        "scores": parameters.scores_slice(config, table),
        "comparisons": parameters.comparisons_slice(config, table),
        "gains": parameters.gains_slice(config, table) if plan.gain_parts(entry, config) else None,
        "table": {key: value for key, value in shown.items() if key != "files"},
    }


def _counted(runs: list[Run], config: Configuration, table: Table) -> list[Run]:
    """The runs of a table and those whose cost or failure it counts."""
    references = plan.table_reference_runs(table, config)
    return list(dict.fromkeys([*runs, *references, *plan.cost_runs(table, config)]))


def _files(results: Path, names) -> list[Path]:
    """Files of `results`, each once, by their paths from results/ on."""
    return [results / Path(name).relative_to("results") for name in dict.fromkeys(filter(None, names))]


def _laid_over(under: object, over: object) -> dict:
    """Both configurations as Snakemake makes one of two files: the later's values hold."""
    if not isinstance(under, Mapping) or not isinstance(over, Mapping):
        return over
    return {**under, **{key: _laid_over(under.get(key), value) for key, value in over.items()}}
