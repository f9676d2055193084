"""From training dynamics to the data map and the most ambiguous third, each method in processes of its own.

A child is `python -m benchmarks.data_map METHOD FOLDER CHECKOUT`; METHOD `imports of METHOD` does no more.
"""

import json
import sys
import tempfile
import time
import types
from collections.abc import Callable
from pathlib import Path

import numpy as np

from .harness import alternate, peak_mb, spread
from .options import Options
from .report import Goal, Row, Table, compared

FRACTION = 0.33
MNLI = 392_702
# Threads of DuckDB and Polars, of which the others use one for most of the time.
THREADS = 2
# Peers sum in another order: scores closer than this are ties.
TOLERANCE = 1e-6

OURS = "this workflow"
CARTOGRAPHY, FTFT = "allenai/cartography", "nlpsoc/FTFT"
PANDAS, DUCKDB, POLARS = "pandas", "DuckDB", "Polars"
IMPORTS = "imports of "
MAP, SELECTION = "map.parquet", "selection.parquet"
Method = Callable[[Path, int], None]
"""Takes the folder of files and the count of instances to select; leaves there, in a folder of its own,
a file of the selection with a column `row`."""


def run(options: Options) -> list[Table]:
    """All methods at the size of MNLI."""
    named = {CARTOGRAPHY: options.cartography, FTFT: options.ftft}
    checkouts = {name: str(path.resolve()) for name, path in named.items() if path}
    instances, repeats = (20_000 if options.quick else MNLI), options.repeats(5)
    peers = (PANDAS, DUCKDB, POLARS, *checkouts)
    goals = {PANDAS: Goal(1), DUCKDB: Goal(1), POLARS: Goal(1), CARTOGRAPHY: Goal(200), FTFT: Goal(120)}
    # Children import this module: no method may pay for the imports of the files' making.
    from .dynamics_files import EPOCHS, write_files

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_files(folder, instances, authors=bool(checkouts))
        (folder / "count").write_text(str(int(FRACTION * instances + 0.5)))
        for method in METHODS:
            _own(folder, method).mkdir()
        child = [sys.executable, "-W", "ignore", "-m", "benchmarks.data_map"]
        commands = {
            prefix + name: [*child, prefix + name, scratch, checkouts.get(name, "")]
            for name in (OURS, *peers)
            for prefix in ("", IMPORTS)
        }
        runs = alternate(commands, repeats, cwd=Path(__file__).parents[1])
        differing = {name: _differing(folder, name) for name in peers}
    rows = [compared(runs, OURS, peer, goals[peer].value) for peer in peers]
    for name in (OURS, *peers):
        rows.append(Row(f"{name}, seconds", value=spread([run.cpu for run in runs[name]]), unit="s of CPU"))
        rows.append(Row(f"{name}, peak memory", value=peak_mb(runs[name]), unit="MB"))
        rows.append(Row(f"{name}, of it imports", value=peak_mb(runs[IMPORTS + name]), unit="MB"))
    return [Table(f"{instances:,} instances, {EPOCHS} epochs", rows, _notes(differing))]


def _notes(differing: dict[str, int]) -> list[str]:
    return [
        "From the first read to the last write, imports left out. Ours, pandas, DuckDB and Polars read the"
        " same two Parquet files, training dynamics and data set, and write a map (uid, confidence,"
        " variability, correctness) and the selected rows with their uids; DuckDB and Polars with"
        f" {THREADS} threads. Ours also verifies that both files are whole, belong together and hold every"
        " instance at every epoch, and puts a checksum into what it writes. The authors' programs read"
        " formats of their own, and neither write the map nor look at uids.",
        "All chose the same instances but for ties at the last place (scores within 1e-6); otherwise went: "
        + ", ".join(f"{name} {rows}" for name, rows in differing.items()),
    ]


def _own(folder: Path, method: str) -> Path:
    return folder / "".join(letter for letter in f"of {method}" if letter.isalnum())


def _differing(folder: Path, peer: str) -> int:
    """How many instances `peer` chose otherwise; raises RuntimeError where they are no ties."""
    import pyarrow.parquet as pq

    ours, theirs = (
        np.sort(pq.read_table(_own(folder, name) / SELECTION)["row"].to_numpy()) for name in (OURS, peer)
    )
    rows = np.setxor1d(ours, theirs, assume_unique=True)
    if len(rows):
        scores = pq.read_table(_own(folder, OURS) / MAP)["variability"].to_numpy()[rows]
        if len(ours) != len(theirs) or np.ptp(scores) > TOLERANCE:
            raise RuntimeError(f"{peer} chose {len(theirs)} of {len(ours)} instances, {len(rows)} otherwise")
    return len(rows) // 2


def _ours(checkout: str) -> Method:
    import pandas  # noqa: F401  (pyarrow imports it as soon as a list becomes a column)

    from ftft.cartography.datamap import write_map
    from ftft.cartography.selection import needs_texts, select
    from ftft.data.dataset import Dataset

    spec = {"selector": "ambiguous", "fraction": FRACTION}

    def work(folder: Path, count: int) -> None:
        train, own = folder / "train.parquet", _own(folder, OURS)
        write_map(folder / "dynamics.parquet", train, own / MAP)
        select(spec, 0, Dataset.load(train, texts=needs_texts(spec)), own / MAP, own / SELECTION)

    return work


def _cartography(checkout: str) -> Method:
    # Its module also plots and reads data sets: neither is needed, nor are their libraries.
    unused = ("matplotlib", "matplotlib.pyplot", "seaborn", "cartography.data_utils")
    sys.modules |= {name: types.ModuleType(name) for name in unused}
    for name in ("read_data", "read_jsonl", "copy_dev_test"):
        setattr(sys.modules["cartography.data_utils"], name, None)
    sys.path.insert(0, checkout)
    from cartography.selection.train_dy_filtering import compute_train_dy_metrics, read_training_dynamics

    settings = types.SimpleNamespace(include_ci=False, burn_out=100)

    def work(folder: Path, count: int) -> None:
        metrics, _ = compute_train_dy_metrics(read_training_dynamics(str(folder)), settings)
        ranked = metrics.sort_values(by=["variability"], ascending=False)
        _leave(folder, CARTOGRAPHY, ranked.head(count)["guid"].to_numpy())

    return work


def _ftft(checkout: str) -> Method:
    sys.path.insert(0, checkout)
    import torch
    from utils import obtain_data_map_uid_list

    def work(folder: Path, count: int) -> None:
        logits = torch.load(folder / "logits.pt")
        data = {"uid": list(logits), "labels": np.load(folder / "labels.npy").tolist()}
        chosen = obtain_data_map_uid_list(data, logits, "ambiguous", FRACTION)
        _leave(folder, FTFT, np.array(chosen, np.int64))

    return work


def _leave(folder: Path, method: str, rows: np.ndarray) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"row": rows}), _own(folder, method) / SELECTION)


def _pandas(checkout: str) -> Method:
    import pandas as pd

    def work(folder: Path, count: int) -> None:
        columns = ["row", "p_true", "correct"]
        dynamics = pd.read_parquet(folder / "dynamics.parquet", columns=columns)
        data = pd.read_parquet(folder / "train.parquet", columns=["uid", "label"])
        dynamics["p_true"] = dynamics["p_true"].astype("float64")
        by_row = dynamics.groupby("row")
        p_true = by_row["p_true"]
        scores = {
            "uid": data["uid"],
            "confidence": p_true.mean(),
            "variability": p_true.std(ddof=0),
            "correctness": by_row["correct"].mean(),
        }
        found = pd.DataFrame(scores)
        found.to_parquet(_own(folder, PANDAS) / MAP, index=False)
        chosen = found["variability"].nlargest(count).index.sort_values()
        selected = data.loc[chosen].assign(row=chosen)
        selected.to_parquet(_own(folder, PANDAS) / SELECTION, index=False)

    return work


def _duckdb(checkout: str) -> Method:
    import duckdb

    def work(folder: Path, count: int) -> None:
        own = _own(folder, DUCKDB)
        with duckdb.connect(config={"threads": THREADS}) as database:
            database.execute(f"""
                create table map as
                select data.file_row_number as row, uid, label, confidence, variability, correctness
                from read_parquet('{folder}/train.parquet', file_row_number = true) data
                join (
                    select row, avg(p_true::double) confidence, stddev_pop(p_true::double) variability,
                        avg(correct::int) correctness
                    from '{folder}/dynamics.parquet' group by row
                ) scores on scores.row = data.file_row_number
                order by row
            """)
            scores = "select uid, confidence, variability, correctness from map"
            database.execute(f"copy ({scores}) to '{own / MAP}' (format parquet)")
            ranked = f"select row, uid, label from map order by variability desc limit {count}"
            database.execute(f"copy (from ({ranked}) order by row) to '{own / SELECTION}' (format parquet)")

    return work


def _polars(checkout: str) -> Method:
    import polars as pl

    def work(folder: Path, count: int) -> None:
        own = _own(folder, POLARS)
        p_true = pl.col("p_true").cast(pl.Float64)
        scores = (
            pl.scan_parquet(folder / "dynamics.parquet")
            .group_by("row")
            .agg(
                confidence=p_true.mean(),
                variability=p_true.std(ddof=0),
                correctness=pl.col("correct").mean(),
            )
        )
        data = pl.scan_parquet(folder / "train.parquet").select("uid", "label")
        numbered = data.with_row_index("row").with_columns(pl.col("row").cast(pl.Int32))
        found = numbered.join(scores, on="row", maintain_order="left").collect()
        found.select("uid", "confidence", "variability", "correctness").write_parquet(own / MAP)
        ranked = found.top_k(count, by="variability").sort("row")
        ranked.select("row", "uid", "label").write_parquet(own / SELECTION)

    return work


METHODS: dict[str, Callable[[str], Method]] = {
    OURS: _ours,
    CARTOGRAPHY: _cartography,
    FTFT: _ftft,
    PANDAS: _pandas,
    DUCKDB: _duckdb,
    POLARS: _polars,
}


def main(name: str, folder: Path, checkout: str) -> None:
    """Run one method; print what it took."""
    method = name.removeprefix(IMPORTS)
    work = METHODS[method](checkout)
    if name == method:
        wall, cpu = time.perf_counter(), time.process_time()
        work(folder, int((folder / "count").read_text()))
        print(json.dumps({"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
