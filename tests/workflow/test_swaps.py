"""Artifacts that were swapped, edited or damaged between two calls: made again, or refused with the cure."""

import json
import os
import shutil

import pytest

from ftft.artifacts import Provenance, read_parquet, read_stamp, working, write_parquet

pytestmark = pytest.mark.long

SMALL, LARGE = (f"results/runs/demo/{model}/all/full/seed0" for model in ("small", "large"))
TRANSFER = "results/runs/demo/large/small-ambiguous-33/full/seed0"
EVALUATIONS = "results/evaluations/demo/large"
# What took whose place, and the rule that makes it.
SWAPS = {
    "validation data for training data": (
        "results/data/demo/train.parquet", "results/data/demo/validation.parquet", "prepare_data",
    ),
    "an encoder's record": (
        "results/encoders/demo/small/provenance.json",
        "results/encoders/demo/large/provenance.json",
        "prepare_encoder",
    ),
    "the dynamics of another model": (
        f"{SMALL}/dynamics.parquet", f"{LARGE}/dynamics.parquet", "train_reference",
    ),
    "the trajectory of a stopped run": (
        f"{TRANSFER}/trajectory.parquet",
        f"{TRANSFER}/trajectory.parquet".replace("full", "stopped-ood"),
        "train_main",
    ),
    "the ledger of another model": (f"{SMALL}/ledger.json", f"{LARGE}/ledger.json", "train_reference"),
    "the model of another run": (f"{TRANSFER}/model/config.json", f"{LARGE}/model/config.json", "train_main"),
    "a random supervision for an ambiguous one": (
        "results/supervisions/demo/small-ambiguous-33/seed0.parquet",
        "results/supervisions/demo/random-33/seed0.parquet",
        "make_supervision",
    ),
    "the supervision's ledger for the map's": (
        "results/maps/demo/small/seed0.json",
        "results/supervisions/demo/random-33/seed0.json",
        "build_data_map",
    ),
    "the predictions of another run": (
        f"{EVALUATIONS}/small-ambiguous-33/full/seed0/r1_test.parquet",
        f"{EVALUATIONS}/all/full/seed0/r1_test.parquet",
        "evaluate",
    ),
    "the predictions of another set": (
        f"{EVALUATIONS}/all/full/seed0/r1_test.parquet",
        f"{EVALUATIONS}/all/full/seed0/r3_test.parquet",
        "evaluate",
    ),
    "comparisons for scores": (
        "results/scores/table1.parquet", "results/comparisons/table1.parquet", "collect_scores",
    ),
    "bytes that say nothing": ("results/scores/table1.parquet", "config/config.yaml", "collect_scores"),
}  # fmt: skip


@pytest.fixture(scope="module")
def without_records(finished, tmp_path_factory):
    """A copy of the finished workflow that Snakemake knows nothing of."""
    folder = tmp_path_factory.mktemp("swaps") / "copy"
    shutil.copytree(finished.folder, folder, ignore=shutil.ignore_patterns("metadata"))
    return type(finished)(finished.root, folder, finished.pristine_config)


def put(path, content: bytes) -> bytes:
    """Give a file another content and its old times; what it held before."""
    status, before = path.stat(), path.read_bytes()
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    return before


def test_results_without_records_are_taken_as_they_say(without_records):
    assert without_records.planned() == {}


@pytest.mark.parametrize("swap", SWAPS)
def test_what_was_swapped_is_made_again(without_records, swap):
    name, other, rule = SWAPS[swap]
    path = without_records.folder / name
    before = put(path, (without_records.folder / other).read_bytes())
    try:
        code, shown = without_records.dry_run("--", "paper")
        planned = without_records.planned()
    finally:
        put(path, before)
    assert planned[rule] == 1
    assert code == 0 and "are not what this configuration asks for" in shown and name in shown


def test_what_was_made_from_another_version_is_made_again(without_records):
    """Dynamics of the same settings and other content, as from a training on another machine."""
    path = without_records.folder / SMALL / "dynamics.parquet"
    table, metadata = read_parquet(path)
    stamp, before = read_stamp(path), path.read_bytes()
    with working(Provenance(stamp["slice"], stamp["code"], inputs=stamp["inputs"])):
        write_parquet(path, table, {**metadata, "run": "another"})
    try:
        planned = without_records.planned()
    finally:
        path.write_bytes(before)
    assert "train_reference" not in planned
    assert (planned["build_data_map"], planned["make_supervision"], planned["train_main"]) == (1, 1, 2)


def flip(path) -> None:
    """Change one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    put(path, bytes(content))


def edit_ledger(path) -> None:
    ledger = json.loads(path.read_text())
    ledger["outcome"]["validation"]["accuracy"] = 1.0
    put(path, json.dumps(ledger).encode())


STOPPED = "results/runs/demo/large/all/stopped-ood/seed0/ledger.json"
RANDOM = "demo/large/random-33/full/seed0"
# By call, what was damaged while its stamp is whole, and what is to be made from it.
DAMAGE = [
    {
        f"{SMALL}/dynamics.parquet": "results/maps/demo/small/seed0.parquet",
        f"{LARGE}/model/model.safetensors": f"{EVALUATIONS}/all/full/seed0/r1_test.parquet",
        f"results/runs/{RANDOM}/model/tokenizer.json": f"results/evaluations/{RANDOM}/r1_test.parquet",
        "results/encoders/demo/large/model.safetensors": STOPPED,
        f"{SMALL}/ledger.json": "results/tables/table3.csv",
    },
    {
        f"results/evaluations/{RANDOM}/r1_test.parquet": "results/scores/table1.parquet",
        "results/data/demo/train.parquet": "results/maps/demo/small/seed0.html",
        "results/maps/demo/small/seed0.parquet": "results/figures/demo/data_map/small/seed0.csv",
    },
    {"results/scores/table1.parquet": "results/tables/table1.csv"},
]


@pytest.mark.parametrize("damage", DAMAGE, ids=["runs", "data", "scores"])
def test_whatever_is_damaged_is_refused_with_its_cure(copied, damage):
    for name, reader in damage.items():
        (copied.folder / reader).unlink()
        (edit_ledger if name.endswith("ledger.json") else flip)(copied.folder / name)
    run = copied.snakemake("--keep-going", "--", *damage.values())
    assert run.returncode != 0 and "Traceback" not in run.stdout, run.stdout
    for name in damage:
        assert f"let snakemake make it again: snakemake {name}" in run.stdout, run.stdout
