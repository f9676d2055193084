"""`ftft select`, and losses of other programs as training dynamics."""

import json
import math
import pickle
import re

import numpy as np
import pytest
import torch
import yaml

import ftft
from ftft.cartography.dynamics import save_dynamics
from ftft.cartography.selection import Pool, choose
from ftft.cli import main
from ftft.data.dataset import Dataset, object_array
from ftft.errors import DataError
from ftft.tasks.base import kind_of

ROWS = 60
LOSSES = np.sort(np.random.default_rng(0).random((4, ROWS)) * 3, axis=0)[::-1]
RESPONSES = ["x" * (1 + row) for row in range(ROWS)]


def s2l(folder):
    # Their numbers are not in the order of their names.
    for number, losses in zip((5, 40, 100, 1000), LOSSES, strict=True):
        (folder / f"checkpoint-{number}").mkdir(parents=True)
        torch.save([torch.tensor(loss) for loss in losses], folder / f"checkpoint-{number}" / "losses.pt")
    return folder


def small2large(folder):
    folder.mkdir()
    for name, losses in zip(("pre", "1", "2", "3"), LOSSES, strict=True):
        (folder / f"epoch-{name}.pkl").write_bytes(pickle.dumps([math.exp(loss) for loss in losses]))
    return folder


def test_losses_of_other_programs_become_dynamics(tmp_path):
    np.testing.assert_allclose(ftft.import_s2l(s2l(tmp_path / "s2l")), LOSSES)
    np.testing.assert_allclose(ftft.import_small2large(small2large(tmp_path / "small")), LOSSES)
    dynamics = ftft.dynamics_of_losses(LOSSES)
    np.testing.assert_allclose(dynamics.p_true, np.exp(-LOSSES), rtol=1e-6)
    assert dynamics.uids == [str(row) for row in range(ROWS)]
    with pytest.raises(DataError, match="the argument 'losses' cannot be used"):
        ftft.dynamics_of_losses(-LOSSES)


def test_pickles_that_call_code_are_refused(tmp_path):
    folder = small2large(tmp_path / "small")
    (folder / "epoch-2.pkl").write_bytes(pickle.dumps(np.ones(ROWS)))
    with pytest.raises(DataError, match="holds more than numbers"):
        ftft.import_small2large(folder)
    (folder / "epoch-2.pkl").write_bytes(pickle.dumps([1.0]))
    with pytest.raises(DataError, match="no losses of several epochs of the same rows"):
        ftft.import_small2large(folder)


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dataset = Dataset(
        [f"u{row}" for row in range(ROWS)],
        (["a prompt"] * ROWS,),
        object_array(RESPONSES),
        [],
        {},
        "generation",
    )
    recorded = [np.stack([np.ones(ROWS), -own, np.exp(-own), np.zeros(ROWS)], 1) for own in LOSSES]
    epochs = [own.astype(np.float32) for own in recorded]
    save_dynamics(tmp_path / "dynamics.parquet", kind_of("generation"), epochs, dataset, {})
    rows = [{"id": uid, "response": text} for uid, text in zip(dataset.uids, RESPONSES, strict=True)]
    (tmp_path / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return tmp_path


def test_ids_are_those_of_the_selector(files, capsys):
    s2l(files / "s2l"), small2large(files / "small")
    dynamics = ftft.dynamics_of_losses(LOSSES)
    pool = Pool(dynamics.uids, 0.25, 0, ftft.DataMap.of(dynamics, ["mean_loss"]))
    expected = choose("ambiguous_within_difficulty", pool, {}).rows.tolist()
    for source in ("dynamics.parquet", "s2l", "small"):
        assert main(["select", source, "--fraction", "0.25", "--out", "ids.txt"]) == 0
        assert [int(line) for line in (files / "ids.txt").read_text().split()] == expected
    assert "shared with random rows" in capsys.readouterr().out


def test_rows_give_ids_and_lengths(files, capsys):
    rows = ["--rows", "rows.jsonl", "--uid", "id", "--response", "response"]
    files_out = ["--out", "ids.txt", "--keep", "kept.jsonl"]
    assert main(["select", "dynamics.parquet", "--rule", "longest", *rows, *files_out]) == 0
    assert (files / "ids.txt").read_text().split() == [f"u{row}" for row in range(40, 60)]
    kept = [json.loads(line) for line in (files / "kept.jsonl").read_text().splitlines()]
    assert kept[0] == {"id": "u40", "response": "x" * 41} and len(kept) == 20
    assert "shared with the longest: 1.00" in capsys.readouterr().out
    within = ["--rule", "within_lengths", "--selector", "high_loss"]
    assert main(["select", "dynamics.parquet", *within, *rows, "--out", "ids.txt"]) == 0
    parts = [int(uid[1:]) // 6 for uid in (files / "ids.txt").read_text().split()]
    assert np.bincount(parts).min() >= 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["dynamics.parquet", "--rule", "best"], "there is no rule 'best'"),
        (["dynamics.parquet", "--rule", "jtt"], "there is no rule 'jtt'"),
        (["dynamics.parquet", "--rule", "longest"], "goes by the lengths of the responses"),
        (["dynamics.parquet", "--rule", "forgetting"], "asks whether predictions were right"),
        (["dynamics.parquet", "--rule", "aum"], "needs logits"),
        (["nothing.parquet"], "there is no file"),
        (["."], "holds no training dynamics"),
        (["dynamics.parquet", "--rows", "few.jsonl"], "holds other rows"),
        (["dynamics.parquet", "--fraction", "nan"], "'--fraction' cannot be used"),
        (["dynamics.parquet", "--fraction", "33"], "write a percentage as a fraction: 0.33"),
        (["dynamics.parquet", "--seed", "-1"], "'--seed' cannot be used"),
        (["dynamics.parquet", "--rule", "s2l", "--clusters", "0"], "'--clusters' cannot be used"),
        (
            ["dynamics.parquet", "--rule", "within_lengths", "--selector", "best"],
            "'--selector' cannot be used",
        ),
        (["dynamics.parquet", "--rows", "lines.jsonl", "--uid", "id"], "has several lines"),
    ],
)
def test_what_cannot_be_selected_is_refused(files, capsys, arguments, message):
    (files / "lines.jsonl").write_text("".join(json.dumps({"id": f"{row}\nx"}) + "\n" for row in range(ROWS)))
    (files / "few.jsonl").write_text('{"id": "u0", "response": "x"}\n' * 2)
    assert main(["select", *arguments, "--out", "ids.txt"]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "content", [0.5, [0.5] * ROWS, [-1.0] * ROWS, [float("nan")] * ROWS, ["1"] * ROWS, [[1.0]] * ROWS]
)
def test_perplexities_that_are_none_are_refused(tmp_path, content):
    folder = small2large(tmp_path / "small")
    (folder / "epoch-2.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(DataError, match=r"epoch-2\.pkl cannot be read"):
        ftft.import_small2large(folder)


def instructions(files):
    """Rows with Alpaca's columns, of which some lack an input; returns those that `ftft select` takes."""
    rows = [
        {"id": f"u{row}", "instruction": f"do {row}", "output": text, **({"input": "x"} if row % 2 else {})}
        for row, text in enumerate(RESPONSES)
    ]
    (files / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    named = ["--rows", "rows.jsonl", "--uid", "id", "--response", "output"]
    written = ["--out", "ids.txt", "--keep", "selected.jsonl"]
    assert main(["select", "dynamics.parquet", "--rule", "longest", *named, *written]) == 0
    return rows[40:]


def examples(root, language):
    """The code of a language in the part of docs/generation.md on trainers of one's own."""
    part = (root / "docs/generation.md").read_text().partition("LLaMA-Factory reads a folder")[2]
    return re.findall(rf"```{language}\n(.*?)```", part, re.DOTALL)


def test_the_example_for_llama_factory_writes_what_it_documents(files, root):
    kept = instructions(files)
    (program,) = examples(root, "python")
    exec(program, {})
    info = json.loads((files / "llamafactory/dataset_info.json").read_text())
    assert {*info} == {"selected"}
    entry = info["selected"]
    # data/README.md of LLaMA-Factory: file_name is in the folder, formatting is alpaca or sharegpt, and the
    # columns of alpaca are prompt, query and response.
    assert entry["formatting"] == "alpaca" and {*entry["columns"]} == {"prompt", "query", "response"}
    datasets = pytest.importorskip("datasets")
    file = str(files / "llamafactory" / entry["file_name"])
    loaded = datasets.load_dataset("json", data_files=file, split="train", cache_dir=str(files / "cache"))
    assert loaded.column_names == [entry["columns"][name] for name in ("prompt", "query", "response")]
    assert loaded["output"] == [row["output"] for row in kept]
    assert loaded["input"] == [row.get("input", "") for row in kept]


def test_the_example_for_axolotl_names_what_select_keeps(files, root):
    kept = instructions(files)
    (written,) = examples(root, "yaml")
    (entry,) = yaml.safe_load(written)["datasets"]
    # axolotl's type alpaca: JSON lines with instruction, input (optional) and output.
    assert (entry["ds_type"], entry["type"]) == ("json", "alpaca")
    found = [json.loads(line) for line in (files / entry["path"]).read_text().splitlines()]
    assert [row["output"] for row in found] == [row["output"] for row in kept]
    assert all({"instruction", "output"} <= {*row} for row in found)
