"""Data sets of the Hugging Face hub: the files of one split, at a pinned revision."""

from pathlib import Path

from ..artifacts import write_parquet
from ..errors import DataError

CARD = "README.md"


def download(spec: dict, name: str, path: str | Path) -> None:
    """Leave the rows of a hub data set's split as Parquet at `path`.

    Files come through the hub client's cache, as encoders do, so that what was fetched once at the
    pinned revision serves without a network too (HF_HUB_OFFLINE=1); loading by id alone would not.
    Class labels stay the numbers that the hub stores; `label_names` maps them.
    Raises DataError for a data set, revision, configuration or split that cannot be had.
    """
    from datasets import load_dataset

    configuration, split = spec.get("name"), spec["split"]
    try:
        files = _split_files(Path(_snapshot(spec, [CARD])) / CARD, configuration, split)
        folder = _snapshot(spec, files and [CARD, *files])
        rows = load_dataset(folder, configuration, split=split, data_files=files and {split: files})
    except Exception as error:  # the hub client raises many kinds, all of them the user's to mend
        place = f"{spec['id']} {configuration}" if configuration else spec["id"]
        raise DataError(
            f"data set '{name}' cannot be fetched from the hub",
            got=f"{type(error).__name__}: {next(iter(str(error).strip().splitlines()), '')}",
            expected=f"{place} at revision {spec['revision']}, split {split}",
            fix="check id, name, revision and split, and the network; HF_HUB_OFFLINE keeps to what is cached",
            passing=True,
        ) from error
    write_parquet(path, rows.with_format("arrow")[:].cast(rows.features.arrow_schema), {})


def _snapshot(spec: dict, patterns: list[str] | None) -> str:
    from huggingface_hub import snapshot_download

    revision = spec["revision"]
    return snapshot_download(spec["id"], repo_type="dataset", revision=revision, allow_patterns=patterns)


def _split_files(card: Path, configuration: str | None, split: str) -> list[str] | None:
    """Patterns of a split's files, or None where the data set's card does not list files by split."""
    from huggingface_hub import metadata_load

    header = (metadata_load(card) if card.is_file() else None) or {}
    listed = {entry["config_name"]: entry.get("data_files") for entry in header.get("configs", [])}
    if configuration is None and len(listed) == 1:
        (configuration,) = listed
    if configuration is None or not listed:
        return None
    if configuration not in listed:
        raise ValueError(f"there is no configuration '{configuration}'; there are {', '.join(listed)}")
    files = listed[configuration]
    if not isinstance(files, list) or not all(isinstance(entry, dict) for entry in files):
        return None
    paths = {entry["split"]: entry["path"] for entry in files}
    if split not in paths:
        raise ValueError(f"there is no split '{split}'; there are {', '.join(paths)}")
    return [paths[split]] if isinstance(paths[split], str) else paths[split]
