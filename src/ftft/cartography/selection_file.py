"""A selection as a file: which instances of a data set a main model trains on."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..artifacts import parquet_writer, to_arrow
from ..data.dataset import Dataset, DatasetIndex
from ..errors import ArtifactError
from .datamap import DataMap, MapFile
from .mixtures import mixed
from .selection import region_rows, select_random

SCHEMA = pa.schema([("row", pa.int32()), ("uid", pa.string())])
STORAGE = {
    "use_dictionary": False,
    "column_encoding": {"row": "DELTA_BINARY_PACKED", "uid": "DELTA_LENGTH_BYTE_ARRAY"},
}


def select(
    spec: dict,
    seed: int,
    dataset: Dataset | DatasetIndex,
    map_file: str | Path | None,
    output: str | Path,
) -> None:
    """Make the selection that `spec` describes (selector, settings, fraction, rule); write its rows and uids.

    Without a data map it is a random `fraction`. With one, it is the end of a score, read block by block, or
    a mixture (`mixtures.mixed`), whose settings name the selector that it starts from.
    Raises ArtifactError for a map of other data.
    """
    metadata = {**spec, "seed": seed, "data_hash": dataset.content_hash}
    with parquet_writer(output, SCHEMA, metadata, **STORAGE) as writer:
        for rows, uids in _selected(spec, seed, dataset, map_file):
            writer.write_table(pa.table([to_arrow(rows.astype(np.int32)), uids], schema=SCHEMA))


def _selected(
    spec: dict, seed: int, dataset: Dataset | DatasetIndex, map_file: str | Path | None
) -> Iterator[tuple[np.ndarray, Sequence[str] | pa.ChunkedArray]]:
    """Rows and uids, part by part."""
    if map_file is None:
        rows = select_random(dataset.uids, spec["fraction"], seed)
        yield rows, [dataset.uids[row] for row in rows]
        return
    data_map = MapFile(map_file)
    if data_map.metadata["data_hash"] != dataset.content_hash:
        raise ArtifactError(
            f"the data map {map_file} was built on other data than it is to select from",
            fix=f"delete the file and let snakemake make it again: snakemake {map_file}",
        )
    if "selector" in spec["settings"]:
        rows = mixed(spec, seed, DataMap.load(map_file)[0], dataset.labels)
        yield rows, [dataset.uids[row] for row in rows]
        return
    for rows in region_rows(data_map, spec["selector"], spec["fraction"], spec["rule"]):
        if len(rows):
            yield rows, data_map.uids_of(rows)
