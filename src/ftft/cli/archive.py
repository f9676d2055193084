"""`ftft archive`: a table's predictions and ledgers, without texts, in a folder that makes it again."""

import argparse
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import yaml

from ..artifacts import Provenance, read_json, working
from ..errors import ArtifactError, ConfigError
from ..pipeline import parameters, plan
from ..pipeline.compare import compare_name, table_of
from ..pipeline.config import Configuration, Table, check_file, resolve
from ..pipeline.contract import Expectations
from ..pipeline.names import ALL_DATA, Run
from ..results.archive import Unpacked, unpack, write_archive
from ..results.tables import Supervising, load_supervising
from ..statistics.exclusions import run_key
from ..tasks.base import Kind, kind_of


def archive(chosen: argparse.Namespace) -> None:
    """Archive the table `chosen.table` of the configuration in `chosen.configfile` in `chosen.folder`.

    Its runs lie in the folder `chosen.results`, and those missing there in the archives `chosen.earlier`.

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
    kind = kind_of(config.tasks[table.task].kind)
    if chosen.earlier and type(kind).numbered is not Kind.numbered:
        raise ConfigError(
            f"the table '{chosen.table}' cannot take runs of an earlier archive",
            got=f"the kind {kind.name}: every archive numbers the words of its answers in its own way",
            fix="make all of its runs, and archive it without --earlier",
        )
    with tempfile.TemporaryDirectory() as work, working(Provenance(expected=Expectations(config))):
        places = enumerate(chosen.earlier)
        earlier = {folder: unpack(folder, _new(Path(work) / str(place))) for place, folder in places}
        sources = _Sources(config, chosen.results, earlier)
        write_archive(
            _specs(config, chosen.table, table),
            [sources.evaluation(run, name) for run in runs for name in config.tasks[table.task].evaluate],
            sources.ledgers(_counted(runs, config, table)),
            sources.supervising(parameters.table_slice(config, chosen.table)["rows"], runs),
            chosen.folder,
        )
    print(f"{chosen.folder}: {len(runs)} runs; python -m ftft.results.archive {chosen.folder} checks it")


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder


class _Sources:
    """The files of a configuration's runs: in the folder `results`, or in the first of the archives
    `earlier` that has the run.
    """

    def __init__(self, config: Configuration, results: Path, earlier: Mapping[Path, Unpacked]):
        self._config, self._results, self._earlier = config, results, earlier

    def evaluation(self, run: Run, dataset: str) -> Path:
        kept = self._kept(run)
        if kept is None:
            return self._results / "evaluations" / run.path / f"{dataset}.parquet"
        folder, archived = kept
        try:
            return archived.evaluations[run_key(asdict(run)), dataset]
        except KeyError:
            raise ArtifactError(
                f"the archive {folder} has no predictions of '{dataset}' by {run.path}",
                fix="train the run again, or take the data set out of the task's `evaluate`",
            ) from None

    def ledgers(self, runs: list[Run]) -> list[Path]:
        """Raises ArtifactError where an archived run was trained otherwise than the configuration has it, or
        on other rows than the first of the runs.
        """
        paths = [self._ledger(run) for run in runs]
        ledgers = list(map(read_json, paths))
        for run, ledger in zip(runs, ledgers, strict=True):
            wanted = parameters.training_slice(self._config, run.task, run.model, run.budget)
            trained = ledger["spec"]
            other = [key for key in {**wanted, **trained} if wanted.get(key) != trained.get(key)]
            if ledger["data_hash"] != ledgers[0]["data_hash"]:
                other.append("the training rows")
            if other and (kept := self._kept(run)):
                raise ArtifactError(
                    f"a run of the archive {kept[0]} does not belong in this table",
                    got=f"{run.path}, with other settings: {', '.join(other)}",
                    expected="those of the configuration, and the training rows of the table's other runs",
                    fix="train it again, or archive without it",
                )
        return paths

    def supervising(self, rows: list[dict], runs: list[Run]) -> Supervising:
        made = [run for run in runs if run.supervision != ALL_DATA]
        own = [run for run in made if self._kept(run) is None]
        references = filter(None, (plan.reference_run(run, self._config) for run in own))
        loaded = load_supervising(
            rows,
            dict.fromkeys(self._path(run.files()["supervision_ledger"]) for run in own),
            dict.fromkeys(
                self._results / "maps" / run.task / run.model / f"seed{run.seed}.json" for run in references
            ),
        )
        for run in made:
            if kept := self._kept(run):
                key = run.supervision, run.seed
                loaded.setdefault(key, kept[1].supervising[key])
        return loaded

    def _ledger(self, run: Run) -> Path:
        kept = self._kept(run)
        return kept[1].ledgers[run_key(asdict(run))] if kept else self._path(run.files()["ledger"])

    def _kept(self, run: Run) -> tuple[Path, Unpacked] | None:
        """The archive that a run is taken from, None for one of `results` or of no place."""
        if self._path(run.files()["ledger"]).exists():
            return None
        key = run_key(asdict(run))
        return next(((folder, one) for folder, one in self._earlier.items() if key in one.ledgers), None)

    def _path(self, name: str) -> Path:
        """A file of results by its path from results/ on."""
        return self._results / Path(name).relative_to("results")


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


def _laid_over(under: object, over: object) -> dict:
    """Both configurations as Snakemake makes one of two files: the later's values hold."""
    if not isinstance(under, Mapping) or not isinstance(over, Mapping):
        return over
    return {**under, **{key: _laid_over(under.get(key), value) for key, value in over.items()}}
