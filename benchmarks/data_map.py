"""From training dynamics to the ids of the most ambiguous third, each method in processes of its own.

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

EPOCHS, FRACTION = 5, 0.33
MNLI = 392_702
# Threads of ours, DuckDB and Polars.
THREADS = 2
# Peers compute in float32 or sum in another order: scores closer than this are ties.
TOLERANCE = 1e-6

OURS = "this workflow"
CARTOGRAPHY, FTFT = "allenai/cartography", "nlpsoc/FTFT"
PANDAS, DUCKDB, POLARS = "pandas", "DuckDB, positional join", "Polars, streaming"
IMPORTS = "imports of "
Method = Callable[[Path, int], np.ndarray | None]
"""Takes the folder of files and the count; returns the ids sorted, or leaves them in a file."""


def run(options: Options) -> list[Table]:
    """All methods at the size of MNLI; those that read columns at 10 M and 100 M instances too."""
    named = {CARTOGRAPHY: options.cartography, FTFT: options.ftft}
    checkouts = {name: str(path.resolve()) for name, path in named.items() if path}
    columnar = (PANDAS, DUCKDB, POLARS)
    small = 20_000 if options.quick else MNLI
    goals = {CARTOGRAPHY: 200, FTFT: 120}
    tables = [_measure(small, (*checkouts, *columnar), options.repeats(5), goals, checkouts)]
    if not options.quick:
        tables.append(_measure(10**7, columnar, 2, {}))
        tables.append(_measure(10**8, (DUCKDB,), 1, {DUCKDB: 8}))
    return tables


def _measure(
    instances: int, peers: tuple[str, ...], repeats: int, goals: dict, checkouts: dict | None = None
) -> Table:
    # Children import this module: no method may pay for the imports of the files' making.
    from .dynamics_files import with_logits, without_logits

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if instances <= MNLI:
            with_logits(folder, instances, authors=bool(checkouts))
        else:
            without_logits(folder, instances)
        (folder / "count").write_text(str(int(FRACTION * instances + 0.5)))
        variants = (OURS, *peers)
        child = [sys.executable, "-W", "ignore", "-m", "benchmarks.data_map"]
        commands = {
            prefix + name: [*child, prefix + name, scratch, (checkouts or {}).get(name, "")]
            for name in variants
            for prefix in ("", IMPORTS)
        }
        runs = alternate(commands, repeats, cwd=Path(__file__).parents[1])
        differing = {name: _differing(folder, name) for name in peers}
    rows = [compared(runs, OURS, peer, goals.get(peer)) for peer in peers]
    for name in variants:
        rows.append(Row(f"{name}, seconds", value=spread([run.wall for run in runs[name]]), unit="s (wall)"))
        goal = Goal(256, at_most=True) if name == OURS and instances > 10**7 else None
        rows.append(Row(f"{name}, peak memory", value=peak_mb(runs[name]), unit="MB", goal=goal))
        rows.append(Row(f"{name}, of it imports", value=peak_mb(runs[IMPORTS + name]), unit="MB"))
    return Table(f"{instances:,} instances, {EPOCHS} epochs", rows, _notes(instances, differing))


def _notes(instances: int, differing: dict[str, int]) -> list[str]:
    with_map = instances <= MNLI
    ours = "writes the map and the selection, uids included" if with_map else "streams the ids to a file"
    return [
        f"From the first read to the ids, imports left out; {THREADS} threads for ours, DuckDB and Polars."
        f" Ours also {ours}. The authors' code reads its own formats, with logits; the others read a plain"
        " Parquet file of true-class probabilities per epoch. DuckDB need not sort its ids.",
        "All chose the same instances but for ties at the last place (scores within 1e-6); otherwise went: "
        + ", ".join(f"{name} {rows}" for name, rows in differing.items()),
    ]


def _differing(folder: Path, peer: str) -> int:
    """How many instances `peer` chose otherwise; raises RuntimeError where they are no ties."""
    ours, theirs = _chosen(folder, OURS), _chosen(folder, peer)
    rows = np.setxor1d(ours, theirs, assume_unique=True)
    if len(rows):
        scores = np.std([_p_true(folder, epoch)[rows] for epoch in range(EPOCHS)], axis=0)
        if len(ours) != len(theirs) or np.ptp(scores) > TOLERANCE:
            raise RuntimeError(f"{peer} chose {len(theirs)} of {len(ours)} instances, {len(rows)} otherwise")
    return len(rows) // 2


def _p_true(folder: Path, epoch: int) -> np.ndarray:
    import pyarrow.parquet as pq

    return pq.read_table(folder / f"epoch_{epoch}.parquet")["p_true"].to_numpy().astype(np.float64)


def _chosen(folder: Path, method: str) -> np.ndarray:
    """The ids that a method left, sorted: an array, 64-bit numbers, or a Parquet file."""
    import pyarrow.parquet as pq

    path = _ids(folder, method)
    if path.with_suffix(".npy").exists():
        return np.load(path.with_suffix(".npy"))
    if path.with_suffix(".i64").exists():
        return np.fromfile(path.with_suffix(".i64"), np.int64)
    return np.sort(pq.read_table(path.with_suffix(".parquet"))["id"].to_numpy())


def _ids(folder: Path, method: str) -> Path:
    return folder / "".join(letter for letter in f"ids of {method}" if letter.isalnum())


def _ours(checkout: str) -> Method:
    from ftft.cartography.ranking import largest, order_key, spooled
    from ftft.cartography.selection_file import select

    from ftft.artifacts import ParquetGroups, to_numpy
    from ftft.cartography.datamap import confidence_and_variability, write_map
    from ftft.cartography.dynamics import Block, DynamicsFile
    from ftft.data.dataset import DatasetIndex

    spec = {"region": "ambiguous", "fraction": FRACTION, "rule": "exact"}

    def key(block: Block) -> np.ndarray:
        return order_key(confidence_and_variability(block.p_true)[1])

    def work(folder: Path, count: int) -> np.ndarray | None:
        dynamics = folder / "dynamics.parquet"
        if (train := folder / "train.parquet").exists():
            write_map(dynamics, train, folder / "map.parquet", THREADS)
            select(spec, 0, DatasetIndex(train), folder / "map.parquet", folder / "selection.parquet")
            chosen = ParquetGroups(folder / "selection.parquet")
            return to_numpy(chosen.read(list(range(len(chosen.sizes))), ["row"])["row"])
        blocks = DynamicsFile(dynamics).map(key, threads=THREADS)
        with spooled(blocks) as keys, open(f"{_ids(folder, OURS)}.i64", "wb") as file:
            for rows in largest(keys, count):
                rows.tofile(file)
        return None

    return work


def _cartography(checkout: str) -> Method:
    # Its module also plots and reads data sets: neither is needed, nor are their libraries.
    unused = ("matplotlib", "matplotlib.pyplot", "seaborn", "cartography.data_utils")
    sys.modules |= {name: types.ModuleType(name) for name in unused}
    for name in ("read_data", "read_jsonl", "copy_dev_test"):
        setattr(sys.modules["cartography.data_utils"], name, None)
    sys.path.insert(0, checkout)
    from cartography.selection.train_dy_filtering import compute_train_dy_metrics, read_training_dynamics

    settings = types.SimpleNamespace(include_ci=False, burn_out=EPOCHS)

    def work(folder: Path, count: int) -> np.ndarray:
        metrics, _ = compute_train_dy_metrics(read_training_dynamics(str(folder)), settings)
        ranked = metrics.sort_values(by=["variability"], ascending=False)
        return np.sort(ranked.head(count)["guid"].to_numpy())

    return work


def _ftft(checkout: str) -> Method:
    sys.path.insert(0, checkout)
    import torch
    from utils import obtain_data_map_uid_list

    def work(folder: Path, count: int) -> np.ndarray:
        logits = torch.load(folder / "logits.pt")
        data = {"uid": list(logits), "labels": np.load(folder / "labels.npy").tolist()}
        chosen = obtain_data_map_uid_list(data, logits, "ambiguous", FRACTION)
        return np.sort(np.array(chosen, np.int64))

    return work


def _pandas(checkout: str) -> Method:
    import pandas as pd

    def work(folder: Path, count: int) -> np.ndarray:
        epochs = [pd.read_parquet(folder / f"epoch_{epoch}.parquet")["p_true"] for epoch in range(EPOCHS)]
        scores = pd.concat(epochs, axis=1).astype("float64").std(axis=1, ddof=0)
        return np.sort(scores.nlargest(count).index.to_numpy())

    return work


def _duckdb(checkout: str) -> Method:
    import duckdb

    def work(folder: Path, count: int) -> None:
        settings = {"threads": THREADS, "memory_limit": "4GB", "temp_directory": str(folder / "spill")}
        files = [folder / f"epoch_{epoch}.parquet" for epoch in range(EPOCHS)]
        columns = [f"(select p_true::double p{i} from '{file}') t{i}" for i, file in enumerate(files)]
        numbers = f"(select file_row_number id from read_parquet('{files[0]}', file_row_number=true)) n"
        mean = f"({' + '.join(f'p{i}' for i in range(EPOCHS))}) / {EPOCHS}"
        squares = " + ".join(f"(p{i} - m) * (p{i} - m)" for i in range(EPOCHS))
        joined = f"select *, {mean} m from {' positional join '.join([*columns, numbers])}"
        ranked = f"select id from (select id, {squares} s from ({joined})) order by s desc limit {count}"
        with duckdb.connect(config=settings) as database:
            database.execute(f"copy ({ranked}) to '{_ids(folder, DUCKDB)}.parquet' (format parquet)")

    return work


def _polars(checkout: str) -> Method:
    import polars as pl

    def work(folder: Path, count: int) -> np.ndarray:
        p_true = pl.col("p_true").cast(pl.Float64)
        epochs = [
            pl.scan_parquet(folder / f"epoch_{epoch}.parquet").select(p_true.alias(f"p{epoch}"))
            for epoch in range(EPOCHS)
        ]
        columns = [pl.col(f"p{epoch}") for epoch in range(EPOCHS)]
        mean = sum(columns[1:], columns[0]) / EPOCHS
        squares = [(column - mean) ** 2 for column in columns]
        scores = pl.concat(epochs, how="horizontal").with_row_index("id")
        ranked = scores.select("id", s=sum(squares[1:], squares[0])).top_k(count, by="s").select("id")
        return np.sort(ranked.collect(engine="streaming")["id"].to_numpy())

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
    """Run one method, leave its ids in `folder`, print what it took."""
    method = name.removeprefix(IMPORTS)
    work = METHODS[method](checkout)
    if name == method:
        wall, cpu = time.perf_counter(), time.process_time()
        ids = work(folder, int((folder / "count").read_text()))
        print(json.dumps({"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}))
        if ids is not None:
            np.save(f"{_ids(folder, method)}.npy", ids)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
