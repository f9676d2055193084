"""Small inputs that once went wrong, from a folder beside the checkout; skipped where it is absent."""

import csv
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ftft.cli import main
from ftft.errors import FtftError
from ftft.models.encoders import prepare_encoder
from ftft.pipeline.config import resolve
from ftft.tasks.metrics import metric

CASES = Path(__file__).parents[3] / "shared" / "cases"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason=f"no folder {CASES}")


@pytest.fixture
def case(tmp_path, monkeypatch):
    """Go into a copy of a case's folder."""

    def enter(name):
        shutil.copytree(CASES / name, tmp_path / name)
        for folder, _, files in os.walk(tmp_path / name):
            for path in (folder, *(os.path.join(folder, file) for file in files)):
                os.chmod(path, 0o755)
        monkeypatch.chdir(tmp_path / name)

    return enter


INIT = {
    ("init-file-names", "отзывы.csv"): "wrote",
    ("init-file-names", "random.csv"): "wrote",
    ("init-label-spelling", "spaces in labels.csv"): "differ only in white space or case",
    ("init-label-spelling", "case_labels.csv"): "differ only in white space or case",
    ("init-label-spelling", "snli.csv"): "as the hub marks rows without a label",
    ("init-many-classes", "intents.csv", "--label", "intent"): "and 130 labels more",
    ("init-saved-folder", "saved"): "wrote",
    ("json-and-compressed", "arr.jsonl"): "300 rows",
    ("json-and-compressed", "array.json"): "300 rows",
    ("json-and-compressed", "lines.json"): "300 rows",
    ("json-and-compressed", "gz.csv.gz"): "300 rows",
    ("json-and-compressed", "semicolon.csv"): "300 rows",
    ("json-and-compressed", "utf16.csv"): "300 rows",
    ("json-and-compressed", "cp1252.csv", "--encoding", "cp1252"): "300 rows",
    ("quoted-tsv", "nl.tsv"): "300 rows",
    ("quoted-tsv", "quoted.tsv"): "rows: negative ",
    ("single-class-evaluation", "train.csv", "--evaluate", "hatecheck=hatecheck.csv"): "40 rows: negative 40",
    ("truncation-guess", "len_russian.csv"): "a guess",
    ("unused-timestamp-overflow", "unused_timestamp_overflow.parquet"): "200 rows",
}


@pytest.mark.parametrize("call", INIT, ids=" ".join)
def test_init(case, capsys, call):
    name, *arguments = call
    case(name)
    assert main(["init", *arguments]) == 0
    shown = capsys.readouterr().out
    assert INIT[call] in shown and shown.count("warning") <= 1


def test_the_real_cause_of_a_file_that_cannot_be_read_is_named(case, capsys):
    case("json-and-compressed")
    assert main(["init", "cp1252.csv"]) == 1
    message = capsys.readouterr().err
    assert "not in UTF-8" in message and "'encoding'" in message and "'format'" not in message


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("encoder-lfs", "git lfs pull"),
        ("encoder-without-tokenizer", "holds no tokenizer"),
        ("encoder-gpt2", None),
        ("encoder-t5", None),
    ],
)
def test_an_encoder_is_refused_or_can_be_trained(case, train_set, tmp_path, name, words):
    case(name)
    spec = {"source": "folder", "path": "enc", "max_length": 48}
    if words:
        with pytest.raises(FtftError, match=words):
            prepare_encoder(spec, train_set, tmp_path / "made")
    else:
        prepare_encoder(spec, train_set, tmp_path / "made")
        assert (tmp_path / "made" / "model.safetensors").is_file()


def test_a_reference_of_one_epoch_is_a_fault_of_the_configuration(case):
    case("one-epoch-reference")
    with pytest.raises(FtftError, match="epoch"):
        resolve(yaml.safe_load(Path("c.yaml").read_text(encoding="utf-8")))


def test_macro_f1_counts_the_classes_that_occur(case):
    case("macro-f1-missing-class")
    with open("p_two.csv", encoding="utf-8") as file:
        labels = [row["label"] for row in csv.DictReader(file)]
    names = sorted({*labels, "a class without rows"})
    targets = [names.index(label) for label in labels]
    assert metric("macro_f1").score(targets, targets, names) == 1.0


@pytest.mark.parametrize(
    ("name", "script"),
    [("library-arguments", "args.py"), ("trainer-outputs", "outputs.py"), ("trainer-resume", "resume.py")],
)
def test_the_library_refuses_or_does_what_was_meant(case, capsys, name, script):
    case(name)
    runpy.run_path(script, run_name="__main__")
    shown = capsys.readouterr().out
    assert "RAW" not in shown and "=>" not in shown
    if name == "trainer-resume":
        lines = [line.partition("epochs:")[2] for line in shown.splitlines() if "selected:" in line]
        assert len(lines) > 1 and len(set(lines)) == 1


@pytest.mark.long
def test_a_reference_that_learnt_nothing_stops_before_the_main_training(case, root):
    case("failed-reference-used")
    config = ["--snakefile", str(root / "Snakefile"), "--configfile", "c.yaml"]
    targets = ["results/runs/rev/large/small-ambiguous-33/stopped-id/seed0/ledger.json", "finetune"]
    run = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "1", *config, "--", *targets],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert run.returncode != 0 and "Traceback" not in run.stdout, run.stdout
    assert "the reference run of small, seed 0, has failed: its data map says nothing" in run.stdout
    assert not Path(targets[0]).exists()
