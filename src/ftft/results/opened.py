"""What the workflow left in a folder, as tables for a notebook."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from ..artifacts import RESULTS, read_json, read_parquet
from ..cartography import arguments
from ..cartography.datamap import DataMap
from ..data.dataset import Dataset
from ..errors import ArtifactError, DataError

if TYPE_CHECKING:
    import pandas as pd

KEYS = ("task", "model", "supervision", "budget", "seed")


def open_run(folder: str | Path = ".") -> "OpenedRun":
    """Open the folder in which the workflow was run, or its folder `results`, for reading.

    Raises ArtifactError where it holds no results.
    """
    return OpenedRun(folder)


class OpenedRun:
    """The results in a folder, read when they are asked for.

    Methods give pandas' data frames, `arrow` the same as pyarrow's tables, which `polars.from_arrow` takes.
    Files are checked as the workflow checks them: ArtifactError for one that is damaged or not there.
    """

    def __init__(self, folder: str | Path):
        place = arguments.path("folder", folder)
        self.results = place if place.name == RESULTS else place / RESULTS
        if not self.results.is_dir():
            raise ArtifactError(
                f"there are no results in {place}",
                got=f"no folder {self.results}",
                fix="name the folder in which ftft run was called",
            )

    def arrow(self, kind: str, *names: object) -> pa.Table:
        """A table: `kind` is the name of one of the methods below, `names` are its arguments."""
        tables: dict[str, Callable[..., pa.Table]] = {
            "ledgers": self._ledgers,
            "scores": self._scores,
            "dynamics": self._dynamics,
            "issues": self._issues,
        }
        if not isinstance(kind, str) or kind not in tables:
            raise ArtifactError(f"there is no such table: {kind!r}", expected=f"one of {', '.join(tables)}")
        try:
            inspect.signature(tables[kind]).bind(*names)
        except TypeError as error:
            raise DataError(f"the table '{kind}' takes other names", got=f"{names!r}: {error}") from error
        return tables[kind](*names)

    def ledgers(self) -> "pd.DataFrame":
        """Every run: task, model, supervision, budget, seed, then its outcome and its cost as
        `outcome.steps`, `cost.training_seconds` (seconds) and so on."""
        return self._ledgers().to_pandas()

    def scores(self, table: str | None = None) -> "pd.DataFrame":
        """The scores behind one table, or behind all: a row per run, data set and metric."""
        return self._scores(table).to_pandas()

    def dynamics(self, task: str, model: str, seed: int = 0) -> "pd.DataFrame":
        """Training dynamics of a reference run: a row per epoch and instance, uid, p_true, correct, and
        what else its kind of task records."""
        return self._dynamics(task, model, seed).to_pandas()

    def issues(self, task: str, model: str, seed: int = 0) -> "pd.DataFrame":
        """What a reference run says of every label: given, suggested, score, probability that it is wrong."""
        return self._issues(task, model, seed).to_pandas()

    def data_map(self, task: str, model: str, seed: int = 0) -> DataMap:
        """The data map of a reference run, with the further scores that the workflow has made of it."""
        path = self._place("maps", task, model, seed)
        found, _ = DataMap.load(_there(path))
        for file in sorted(path.parent.glob(f"seed{seed}.*.parquet")):
            table, described = read_parquet(file)
            found.further[described["score"]] = table["score"].to_numpy()
        return found

    def runs(self) -> list[tuple]:
        """The runs that are finished, as (task, model, supervision, budget, seed)."""
        return [tuple(row.values()) for row in self._ledgers().select(KEYS).to_pylist()]

    def __repr__(self) -> str:
        return f"OpenedRun({str(self.results)!r}): {len(self._ledger_files())} runs"

    def _ledger_files(self) -> list[Path]:
        return sorted(self.results.glob("runs/*/*/*/*/seed*/ledger.json"))

    def _ledgers(self) -> pa.Table:
        rows = []
        for ledger in map(read_json, self._ledger_files()):
            parts = {
                f"{part}.{name}": value
                for part in ("outcome", "cost")
                for name, value in ledger[part].items()
            }
            plain = {name: value for name, value in parts.items() if not isinstance(value, dict | list)}
            rows.append({**{key: ledger["run"][key] for key in KEYS}, **plain})
        names = dict.fromkeys([*KEYS, *(name for row in rows for name in row)])
        return pa.table({name: [row.get(name) for row in rows] for name in names})

    def _scores(self, table: str | None = None) -> pa.Table:
        files = sorted((self.results / "scores").glob("*.parquet"))
        if table is not None or not files:
            files = [self.results / "scores" / f"{table or '*'}.parquet"]
        found = pa.concat_tables(
            [read_parquet(_there(file))[0] for file in files], promote_options="permissive"
        )
        # A run may stand in several tables.
        return found.group_by(found.column_names, use_threads=False).aggregate([])

    def _dynamics(self, task: str, model: str, seed: int = 0) -> pa.Table:
        path = self._place("runs", task, model, "all", "full", seed).with_suffix("") / "dynamics.parquet"
        table, described = read_parquet(_there(path))
        for file in sorted((self.results / "data" / task).glob("*.parquet")):
            dataset = Dataset.load(file, texts=False)
            if dataset.content_hash == described["data_hash"]:
                uids = pa.array(list(dataset.uids)).take(table["row"].combine_chunks())
                return table.drop_columns("row").add_column(0, "uid", uids)
        raise ArtifactError(
            f"the data that {path} was recorded on are not in {self.results / 'data' / task}",
            fix="let the workflow prepare them: ftft run",
        )

    def _issues(self, task: str, model: str, seed: int = 0) -> pa.Table:
        return read_parquet(_there(self._place("issues", task, model, seed)))[0]

    def _place(self, folder: str, *names: str | int) -> Path:
        """A file by its task, model and seed; raises DataError for names of another form."""
        *parts, seed = names
        for name in parts:
            arguments.path("a name of a task or model", name)
        return Path(self.results, folder, *map(str, parts), f"seed{arguments.whole('seed', seed)}.parquet")


def _there(path: Path) -> Path:
    if not path.is_file():
        raise ArtifactError(
            f"there is no {path}", fix="let the workflow make it: ftft run, or another target"
        )
    return path
