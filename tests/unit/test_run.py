"""`ftft run`, its verbs and `ftft open`: the call of Snakemake that a command stands for."""

import os
import subprocess
import sys
import webbrowser
from pathlib import Path

import pytest
import yaml

from ftft import __version__, places
from ftft.cli import COMMANDS, SHELLS, main
from ftft.cli import run as module

SNAKEFILE = ["--snakefile", str(places.SNAKEFILE)]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder with a configuration, on a machine with one GPU."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    (tmp_path / "ftft.yaml").touch()
    return tmp_path


@pytest.fixture
def called(monkeypatch):
    calls = []
    monkeypatch.setattr(os, "execv", lambda program, words: calls.append(words))
    return calls


DEFAULTS = [*SNAKEFILE, "--cores", "all", "--configfile", "ftft.yaml"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], DEFAULTS),
        (["finetune"], [*DEFAULTS, "--", "finetune"]),
        (["a", "b", "-n", "--", "c"], [*DEFAULTS, "-n", "--", "a", "b", "c"]),
        (["-n"], [*DEFAULTS, "-n"]),
        (["all", "--config", "seeds=[1]"], [*DEFAULTS, "--config", "seeds=[1]", "--", "all"]),
        (["-c2"], [*SNAKEFILE, "--configfile", "ftft.yaml", "-c2"]),
        (["--cores=2"], [*SNAKEFILE, "--configfile", "ftft.yaml", "--cores=2"]),
        (["-j", "3"], [*SNAKEFILE, "--configfile", "ftft.yaml", "-j", "3"]),
        (
            ["--configfile", "a.yaml", "b.yaml"],
            [*SNAKEFILE, "--cores", "all", "--configfile", "a.yaml", "b.yaml"],
        ),
        (
            ["--profile", "slurm"],
            [*SNAKEFILE, "--configfile", "ftft.yaml", "--profile", str(places.PROFILES / "slurm")],
        ),
        (["--profile", "mine"], [*SNAKEFILE, "--configfile", "ftft.yaml", "--profile", "mine"]),
    ],
)
def test_snakemake_gets_what_is_given_and_what_it_needs(given, expected):
    assert module.snakemake_arguments(given) == expected


def test_a_profile_of_the_folder_comes_before_a_shipped_one(folder):
    (folder / "slurm").mkdir()
    assert module.snakemake_arguments(["--profile", "slurm"])[-1] == "slurm"


@pytest.mark.parametrize(("devices", "expected"), [("", []), ("0", []), ("0,1,2", ["--resources", "gpu=3"])])
def test_as_many_trainings_run_as_there_are_gpus(monkeypatch, devices, expected):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", devices)
    arguments = module.snakemake_arguments([])
    assert [word for word in arguments if word == "--resources" or word.startswith("gpu=")] == expected
    assert "gpu=3" not in module.snakemake_arguments(["--resources", "gpu=2"])


def test_a_folder_with_a_default_of_its_own_is_asked_for_no_other(folder):
    (folder / "ftft.yaml").unlink()
    (folder / "config").mkdir()
    (folder / "config" / "config.yaml").touch()
    assert "--configfile" not in module.snakemake_arguments([])


def test_in_the_workflows_own_folder_snakemake_finds_its_file(monkeypatch):
    monkeypatch.chdir(places.WORKFLOW)
    assert "--snakefile" not in module.snakemake_arguments([])


@pytest.mark.parametrize("verb", module.VERBS)
def test_a_verb_is_run_with_a_target(called, capsys, verb):
    assert main([verb, "-n"]) == 0
    expected = [*DEFAULTS, "-n", "--", module.VERBS[verb][0]]
    assert called == [[sys.executable, "-P", "-m", "snakemake", *expected]]
    assert capsys.readouterr().err.strip() == " ".join(["snakemake", *expected])


def test_without_a_configuration_it_says_how_to_get_one(folder, called, capsys):
    (folder / "ftft.yaml").unlink()
    assert main(["finetune"]) == 1
    assert called == [] and "ftft init FILE" in capsys.readouterr().err


def test_without_snakemake_it_says_what_to_install(called, capsys, monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert main(["run"]) == 1
    assert called == [] and 'pip install "ftft[workflow]"' in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example_that_begins_with_it(command, capsys):
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    assert f"example: ftft {command}" in capsys.readouterr().out


def test_help_and_version_are_shown_at_once():
    heavy = "{'torch', 'pandas', 'numpy', 'pyarrow', 'pydantic', 'yaml', 'snakemake', 'rich'}"
    code = (
        "import sys; from ftft.cli import main\n"
        f"try: main(['--help'])\nfinally: print({heavy} & set(sys.modules))"
    )
    shown = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=True).stdout
    assert "finetune" in shown and shown.rstrip().endswith("set()")


def test_there_is_one_version(root, capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.strip() == f"ftft {__version__}"
    assert "\nversion =" not in (root / "pyproject.toml").read_text()
    assert yaml.safe_load((root / "CITATION.cff").read_text())["version"] == __version__


def test_open_shows_the_newest_page(folder, monkeypatch, capsys):
    shown = []
    monkeypatch.setattr(webbrowser, "open", shown.append)
    assert main(["open"]) == 1 and "ftft preflight" in capsys.readouterr().err
    pages = [
        Path("results/maps/demo/small/seed0.html"),
        Path("results/preflight/demo.html"),
        Path("report.html"),
    ]
    for age, page in enumerate(pages):
        page.parent.mkdir(parents=True, exist_ok=True)
        page.touch()
        os.utime(page, (100 - age, 100 - age))
    assert main(["open"]) == 0
    assert capsys.readouterr().out.strip() == str(pages[0])
    assert shown == [(folder / pages[0]).as_uri()]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes_every_command(shell, capsys):
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(command in script for command in COMMANDS) and "--watch" in script


def test_bash_completes(capsys, folder):
    main(["completion", "bash"])
    (folder / "completion").write_text(capsys.readouterr().out)
    asked = "source ./completion; COMP_WORDS=(ftft pre); COMP_CWORD=1; _shtab_ftft; echo ${COMPREPLY[@]}"
    done = subprocess.run(["bash", "-c", asked], text=True, capture_output=True, check=True)
    assert done.stdout.strip() == "preflight"
