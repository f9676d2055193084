"""`ftft archive` of a finished workflow, alone and with the runs of an earlier archive."""

import shutil

import pytest
import yaml

from ftft.artifacts import read_json
from ftft.cli import main

FTFT = "demo/large/small-ambiguous-33/stopped-ood/seed0"


@pytest.fixture
def archive(copied, monkeypatch):
    """Archive the table of a workflow's copy in a folder of this name; gives the exit code."""
    monkeypatch.chdir(copied.folder)

    def call(name: str, *arguments: str) -> int:
        places = ["--configfile", str(copied.config_file), "--results", "results"]
        return main(["archive", name, "--table", "table1", *places, *arguments])

    return call


def test_runs_that_are_gone_are_taken_from_an_earlier_archive(copied, archive, capsys):
    assert archive("kept") == 0
    for folder in ("runs", "evaluations"):
        shutil.rmtree(copied.folder / "results" / folder / FTFT)
    assert archive("without") == 1
    assert f"{FTFT}/" in capsys.readouterr().err
    assert archive("again", "--earlier", "kept") == 0
    # All runs, where nothing else is left.
    shutil.rmtree(copied.folder / "results")
    assert archive("moved", "--earlier", "again") == 0
    for name in ("predictions.parquet", "table.md", "comparisons.csv"):
        kept = (copied.folder / "kept" / name).read_bytes()
        assert (copied.folder / "again" / name).read_bytes() == kept
        assert (copied.folder / "moved" / name).read_bytes() == kept
    runs = [read_json(copied.folder / name / "runs.json") for name in ("kept", "again", "moved")]
    assert runs[0] == runs[1] == runs[2]


def test_a_run_of_other_settings_is_not_taken(copied, archive, capsys):
    assert archive("kept") == 0
    shutil.rmtree(copied.folder / "results")
    copied.edit(lambda config: config["training"].update(learning_rate=2.0e-5))
    assert archive("again", "--earlier", "kept") == 1
    told = capsys.readouterr().err
    assert "does not belong in this table" in told and "with other settings: recipe" in told
    assert not (copied.folder / "again").exists()


def test_a_data_set_that_was_not_archived_is_missed(copied, archive, capsys):
    wanted = list(copied.config()["tasks"]["demo"]["evaluate"])
    copied.edit(lambda config: config["tasks"]["demo"]["evaluate"].remove(wanted[-1]))
    assert archive("kept") == 0
    shutil.rmtree(copied.folder / "results")
    copied.edit(lambda config: config["tasks"]["demo"]["evaluate"].append(wanted[-1]))
    assert archive("again", "--earlier", "kept") == 1
    assert f"has no predictions of '{wanted[-1]}' by demo/large/" in capsys.readouterr().err


def test_answers_in_words_are_not_taken(root, empty_inputs, capsys):
    example = root / "config" / "examples" / "minilm-squad.yaml"
    empty_inputs(yaml.safe_load(example.read_text()))
    squad = ["--configfile", str(example), "--table", "methods"]
    assert main(["archive", "again", *squad, "--earlier", "kept"]) == 1
    assert "every archive numbers the words of its answers in its own way" in capsys.readouterr().err
