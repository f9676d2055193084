"""The profile for other schedulers, with commands that look like PBS and run each job on this machine."""

import importlib.util
import re

import pytest
from calls import Call, contents

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(
        importlib.util.find_spec("snakemake_executor_plugin_cluster_generic") is None,
        reason="no snakemake-executor-plugin-cluster-generic: make test-cluster",
    ),
]

RUN = "demo/small/all/full/seed0"
EVALUATION = f"results/evaluations/{RUN}/validation.parquet"
# One folder of jobs: what was asked for, and how each ended.
QSUB = """\
#!/bin/sh
cd "$PBS" || exit
number=$(($(cat submitted 2>/dev/null | wc -l) + 1))
echo "$*" >> submitted
for script; do :; done
cd "$OLDPWD" || exit
(sh "$script" > "$PBS/$number.log" 2>&1; echo $? > "$PBS/$number.exit") < /dev/null > /dev/null 2>&1 &
echo "$number"
"""
# The first question of each job finds the server away.
QSTAT = """\
#!/bin/sh
mkdir "$PBS/$3.asked" 2> /dev/null && exit 1
[ -e "$PBS/$3.exit" ] || { echo "    job_state = R"; exit; }
echo "    job_state = F"
echo "    Exit_status = $(cat "$PBS/$3.exit")"
"""
# A job as PBS kills it: the first one, once.
KILLED = 'test "$number" = 1 && echo "kill -9 \\$\\$" > "$PBS/1.sh" && script=$PBS/1.sh\n'


@pytest.fixture
def pbs(tmp_path, monkeypatch):
    """A folder with qsub, qstat and qdel first on the path."""
    for name, text in {"qsub": QSUB, "qstat": QSTAT, "qdel": "#!/bin/sh\n"}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PBS", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path


def submit(workflow) -> Call:
    (workflow.folder / "profiles" / "cluster-generic" / "status").chmod(0o755)
    return Call(
        workflow, "--profile", "profiles/cluster-generic", "--seconds-between-status-checks", "1",
        "--", EVALUATION,
    )  # fmt: skip


@pytest.fixture(scope="module")
def local(another):
    workflow = another()
    with Call(workflow, "--cores", "1", "--", EVALUATION) as call:
        call.succeeds(seconds=200)
    return contents(workflow)


def test_jobs_are_asked_for_what_their_rules_need(another, pbs, local):
    workflow = another(runtime={"device": "auto"})
    with submit(workflow) as call:
        call.succeeds(seconds=200)
    asked = (pbs / "submitted").read_text().splitlines()
    assert len(asked) == 2, "one training, one evaluation"
    for line in asked:
        assert re.search(r"-l select=1:ncpus=1:ngpus=1:mem=1000mb -l walltime=10:00 \S+$", line)
    assert contents(workflow) == local


def test_a_job_that_fails_is_repeated_with_more(another, pbs, local):
    (pbs / "qsub").write_text(QSUB.replace('cd "$OLDPWD"', KILLED + 'cd "$OLDPWD"'))
    workflow = another(runtime={"device": "auto"})
    with submit(workflow) as call:
        call.succeeds(seconds=200)
    first, second, _ = (pbs / "submitted").read_text().splitlines()
    assert "mem=1000mb -l walltime=10:00" in first
    assert "mem=2000mb -l walltime=20:00" in second
    assert contents(workflow) == local
