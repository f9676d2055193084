import json
import re
import sys
from importlib import import_module
from importlib.metadata import distributions, requires
from pathlib import Path

import numpy as np
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks import __main__ as command
from benchmarks import page, planning, report, sampling, workflow
from benchmarks.harness import Run, Spread, alternate, interleave, peak_mb, rate, ratios, spread
from benchmarks.options import Options
from benchmarks.report import Goal, Row, Table

ROOT = Path(__file__).parents[2]
ABOUT = {
    "command": "python -m benchmarks input",
    "date": "2026-01-02",
    "machine": {"cpu": "a CPU", "cores": 2, "flags": ["avx2"], "memory_gb": 8.0, "load": [0.5, 0.25, 0.0]},
    "threads": 1,
    "versions": {"python": "3.11.7", "torch": "2.13.0"},
}


class Clock:
    """Time passes only when a work says so."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_spread_is_the_median_and_the_extremes():
    assert spread([3.0, 1.0, 10.0]) == Spread(3.0, 1.0, 10.0)
    assert spread([1.0, 2.0]) == Spread(1.5, 1.0, 2.0)


def test_ratios_are_taken_inside_a_repeat():
    # Repeats drift tenfold; ours does twice the work per CPU second and four times per wall second in each.
    runs = {
        "ours": [Run(10, 1, 1), Run(10, 10, 10), Run(10, 2, 2)],
        "theirs": [Run(20, 4, 8), Run(20, 40, 80), Run(20, 8, 16)],
    }
    assert ratios(runs, "ours", "theirs") == (Spread(2.0, 2.0, 2.0), Spread(4.0, 4.0, 4.0))
    # Paired otherwise, the medians are the same and the ratios are not.
    runs["theirs"] = [runs["theirs"][repeat] for repeat in (2, 0, 1)]
    assert ratios(runs, "ours", "theirs")[0] == Spread(4.0, 0.2, 10.0)


def test_rate_is_work_per_cpu_second_and_the_peak_is_in_mib():
    runs = [Run(10, 2, 1, peak_mb=3.0), Run(10, 5, 1, peak_mb=1.0), Run(10, 1, 1, peak_mb=2.0)]
    assert rate(runs) == Spread(5.0, 2.0, 10.0)
    assert peak_mb(runs) == Spread(2.0, 1.0, 3.0)


def test_interleaved_variants_are_warmed_up_then_timed_in_turns():
    cpu, wall, calls = Clock(), Clock(), []

    def work(name, seconds):
        def run():
            calls.append(name)
            # The first call is the warm-up: slow, and in no result.
            cpu.now += seconds if calls.count(name) > 1 else 1000
            wall.now += 2 * seconds
            return 6

        return run

    names = ["a", "b", "c"]
    runs = interleave({name: work(name, k) for k, name in enumerate(names, 1)}, 4, cpu, wall)
    assert runs == {name: [Run(6, k, 2 * k)] * 4 for k, name in enumerate(names, 1)}
    repeats = [calls[start : start + 3] for start in range(3, 15, 3)]
    assert calls[:3] == names
    assert all(sorted(repeat) == names for repeat in repeats)
    assert len(set(map(tuple, repeats))) > 1


def test_processes_are_timed_with_a_peak_of_their_own():
    held = np.ones(30_000_000)  # 240 MB in this process, none of it the child's
    code = "x = bytearray(40 << 20); sum(range(1_000_000))"
    runs = alternate({"python": [sys.executable, "-S", "-c", code]}, 1, units={"python": 5})["python"]
    assert held.any()
    assert [run.units for run in runs] == [5]
    assert 40 < runs[0].peak_mb < 150
    assert 0 < runs[0].cpu < 60 and 0 < runs[0].wall < 600


def test_a_command_may_time_itself():
    code = 'print(\'rows\'); print(\'{"cpu": 2.5, "wall": 3.5, "more": 1}\')'
    (run,) = alternate({"own": [sys.executable, "-S", "-c", code]}, 1)["own"]
    assert (run.cpu, run.wall) == (2.5, 3.5)


def test_a_failing_command_is_told_with_its_message():
    code = "import sys; print('the reason', file=sys.stderr); sys.exit(3)"
    with pytest.raises(RuntimeError, match=r"ended with 3:\n(.|\n)*the reason"):
        alternate({"broken": [sys.executable, "-S", "-c", code]}, 1)


@pytest.mark.parametrize(
    "goal, measured, reached",
    [
        (Goal(2), 2.0, True),
        (Goal(2), 1.99, False),
        (Goal(0.5, True), 0.5, True),
        (Goal(0.5, True), 0.51, False),
    ],
)
def test_goals_are_floors_or_ceilings(goal, measured, reached):
    assert goal.reached(measured) is reached


def test_a_goal_is_about_the_ratio_before_the_value():
    row = Row("ours", "theirs", cpu=Spread(3, 2, 4), wall=Spread(9, 9, 9), value=Spread(100, 90, 110))
    assert row.measured == 3
    assert Row("ours", "theirs", wall=Spread(9, 8, 9), value=Spread(100, 90, 110)).measured == 9
    assert Row("ours", value=Spread(100, 90, 110)).measured == 100


TABLE = Table(
    "Steps",
    [
        Row("theirs", value=Spread(1234.5, 1000, 2000), unit="rows per CPU second"),
        Row("ours", "theirs", Spread(3.0, 2.5, 3.456), Spread(2.0, 1.0, 3.0), goal=Goal(4), limit="padding"),
        Row("recording", value=Spread(0.25, 0.25, 0.25), unit="%", goal=Goal(0.5, at_most=True)),
    ],
    ["Made of nothing."],
)


def test_a_section_shows_ratios_goals_and_whether_they_are_reached():
    text = page.section([TABLE], ABOUT)
    assert "`python -m benchmarks input`, 2026-01-02. a CPU, 2 cores (avx2), 8.0 GB, 1 thread(s)" in text
    assert "python 3.11.7, torch 2.13.0." in text and "Made of nothing." in text
    lines = [re.sub(r" +", " ", line) for line in text.splitlines() if line.startswith("|")]
    assert lines == [
        "| variant | against | ratio per CPU second | ratio per wall second | measured | goal | reached |"
        " limited by |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        "| theirs | | | | 1,234 [1,000..2,000] rows per CPU second | | | |",
        "| ours | theirs | 3x [2.5..3.46] | 2x [1..3] | | 4x | no | padding |",
        "| recording | | | | 0.25 % | at most 0.5 % | yes | |",
    ]


def test_columns_without_entries_are_left_out():
    text = page.section([Table("Start-up", [Row("train", value=Spread(2.5, 2.5, 2.5), unit="s")])], ABOUT)
    assert "| variant | measured |\n| --- | --- |\n| train | 2.5 s |" in text


def test_tables_survive_their_file(tmp_path):
    report.save(tmp_path, "input", [TABLE], ABOUT)
    assert report.load(tmp_path / "input.json") == ([TABLE], ABOUT)


def test_sections_are_rerun_one_by_one(tmp_path, monkeypatch):
    def section(title):
        module = type(sys)(f"benchmarks.{title}")
        module.run = lambda options: [Table(f"{title}, quick: {options.quick}", [])]
        return module

    for name in ("input", "evaluation"):
        monkeypatch.setitem(sys.modules, f"benchmarks.{name}", section(name))
    target = tmp_path / "benchmarks.md"
    command.main(["evaluation", "--quick", "--write", str(target)])
    command.main(["input", "--write", str(target), "--cartography", str(tmp_path)])
    text = target.read_text()
    assert text.index("### input, quick: False") < text.index("### evaluation, quick: True")
    assert "Not run: `python -m benchmarks training`." in text
    saved = json.loads((tmp_path / "benchmarks" / "input.json").read_text())
    assert saved["command"].endswith("--cartography ...") and str(tmp_path) not in text
    assert saved["versions"]["python"] and saved["machine"]["cores"] >= 1


def test_an_unknown_section_is_refused(capsys):
    with pytest.raises(SystemExit):
        command.main(["inputs"])
    assert "unknown section(s) inputs: choose from input, training" in capsys.readouterr().err


def test_a_sample_costs_what_its_plan_does():
    lengths = np.random.default_rng(0).lognormal(3.6, 0.5, 8000).astype(int) + 4
    order = np.argsort(lengths)
    plan = [order[start : start + 32] for start in range(0, len(order), 32)]
    sample = sampling.representative(plan, lengths, 6)
    assert len(sample) == 6 and all(len(batch) == 32 for batch in sample)
    assert sampling.padded_tokens(sample, lengths) == pytest.approx(
        sampling.padded_tokens(plan, lengths), rel=0.01
    )
    # Batches in the middle of each stratum would be the cheap ones of the long tail's.
    middle = [plan[int((k + 0.5) * len(plan) / 6)] for k in range(6)]
    assert sampling.padded_tokens(middle, lengths) < 0.98 * sampling.padded_tokens(plan, lengths)


def test_the_bias_of_a_sample_is_told():
    lengths = np.array([2, 4, 6, 8])
    plan = [np.array([0, 1]), np.array([2, 3])]
    note = sampling.bias_note("random", plan[1:], plan, lengths)
    assert note == (
        "random: 1 of 2 batches timed; padded tokens per row 8.0 in them and 6.0 in the plan (+33.3%),"
        " real tokens +40.0%."
    )


def test_import_times_are_summed_by_library():
    lines = [
        "import time: self [us] | cumulative | imported package",
        "import time:       250 |        250 |     numpy.core",
        "import time:   1000000 |    1000250 |   numpy",
        "import time:        50 |    1000300 | ftft",
    ]
    assert workflow.library_seconds("\n".join(lines)) == pytest.approx({"numpy": 1.00025, "ftft": 5e-5})


def test_imports_of_a_script_may_come_with_its_warm_start():
    script = ROOT / "workflow" / "scripts" / "train.py"
    cold, warm = workflow.imports(script), workflow.imports(script, warm=True)
    assert "hand_over" not in cold and "from ftft.execution import launch" in cold
    assert warm.splitlines()[:2] == ["from ftft.pipeline.warm import hand_over", "hand_over()"]
    assert warm.endswith(cold)


def test_the_scripts_that_are_timed_by_name_are_there():
    assert {*workflow.QUICK, workflow.HEAVY} <= {path.stem for path in workflow.SCRIPTS.glob("*.py")}
    variants = workflow._job_variants(Options())
    assert len(variants) == 5
    for _, script in variants.values():
        compile(script, "job.py", "exec")
    light, heavy = (
        workflow.imports(workflow.SCRIPTS / f"{name}.py") for name in (workflow.LIGHT, workflow.HEAVY)
    )
    assert "ftft" in workflow._slowest_imports(workflow.LIGHT, [sys.executable, "-c", light])
    with pytest.raises(RuntimeError, match="imports torch"):
        workflow._slowest_imports(workflow.LIGHT, [sys.executable, "-c", heavy])


def test_the_large_plan_is_a_configuration_of_some_ten_thousand_jobs():
    from ftft.pipeline import config

    default = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
    resolved = config.resolve(planning.grid(default, planning.FRACTIONS, planning.SEEDS))
    rows, seeds = resolved.tables["grid"].rows, resolved.seeds
    assert len(rows) == len(planning.MAINS) * planning.FRACTIONS
    runs = len(rows) * len(seeds)
    # A run and its evaluation on four sets; a supervision for all main models.
    assert 9_000 < 5 * runs + runs // len(planning.MAINS) < 11_000


def test_the_lock_of_the_benchmarks_holds_what_its_packages_need():
    def names(file):
        lines = (ROOT / file).read_text().splitlines()
        pins = [re.fullmatch(r"([\w.-]+)==\S+", line) for line in lines if line and not line.startswith("#")]
        return [canonicalize_name(pin.group(1)) for pin in pins]

    own, all_of_them = names("requirements-benchmarks.lock"), names("requirements.lock")
    assert own == sorted(own) and not set(own) & set(all_of_them)
    installed = {canonicalize_name(found.name) for found in distributions()}
    needed = {
        canonicalize_name(requirement.name)
        for name in own
        if name in installed
        for requirement in map(Requirement, requires(name) or [])
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
    }
    assert needed <= {*own, *all_of_them}


def test_the_gpu_section_says_where_there_is_none(monkeypatch):
    from benchmarks import gpu

    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert gpu.run(Options()) == [Table("Steps", [], ["Not run: no GPU."])]


@pytest.fixture
def own_accelerate():
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def test_the_gpu_section_runs_on_tiny_shapes(own_accelerate):
    import torch
    from benchmarks import gpu

    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2, "num_hidden_layers": 2}
    shape = gpu.Shape("tiny", sizes, vocabulary=300, goal=4, utilisation=25)
    effort = gpu.Effort(rows=96, batches=1, matrix=32, repeats=1)
    table = gpu.measure(shape, torch.device("cpu"), effort)
    assert [row.variant for row in table.rows if row.against] == [
        "ours, random, bf16",
        "ours, length_grouped, bf16",
    ]
    assert [row.goal.value for row in table.rows if row.goal] == [4, 25]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in page.SECTIONS if name != "gpu"])
def test_a_section_runs_in_its_smallest_form(name, own_accelerate):
    tables = import_module(f"benchmarks.{name}").run(Options(quick=True))
    assert tables and all(row.measured == row.measured for table in tables for row in table.rows)
    assert page.section(tables, {**ABOUT, "machine": report.machine()})
