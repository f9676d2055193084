"""The Kubernetes profile as far as it can be had without a cluster: what a job asks an API server for."""

import importlib.util
import json
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml
from calls import Call
from slurm import wait_for

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(
        importlib.util.find_spec("snakemake_executor_plugin_kubernetes") is None,
        reason="no snakemake-executor-plugin-kubernetes: make test-cluster",
    ),
    pytest.mark.skipif(shutil.which("rsync") is None, reason="no rsync: apt-get install rsync"),
]

LEDGER = "results/runs/demo/small/all/full/seed0/ledger.json"


class Server(BaseHTTPRequestHandler):
    """Takes what it is given, keeps the jobs, and says that they run."""

    jobs: list[dict]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.endswith("/jobs"):
            self.jobs.append(body)
        self._answer(body)

    def do_GET(self) -> None:
        self._answer({"items": []} if "/pods" in self.path else {"status": {"active": 1}})

    def do_DELETE(self) -> None:
        self._answer({})

    def _answer(self, body: dict) -> None:
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    """The jobs that an API server on this machine was given."""
    handler = type("Handler", (Server,), {"jobs": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        here = f"http://127.0.0.1:{server.server_port}"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "here", "cluster": {"server": here}}],
            "users": [{"name": "me", "user": {}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
            "current-context": "here",
        }
        (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
        yield handler.jobs
        server.shutdown()


def test_a_training_asks_for_one_gpu(another, jobs, tmp_path):
    workflow = another(runtime={"device": "auto"})
    # Jobs are sent the files that git knows.
    subprocess.run(["git", "init", "--quiet"], cwd=workflow.folder, check=True)
    subprocess.run(["git", "add", "--all"], cwd=workflow.folder, check=True)
    volume = tmp_path / "volume"
    volume.mkdir()
    options = (
        "--kubernetes-persistent-volumes", f"claim:{volume}", "--default-storage-prefix", str(volume),
        "--container-image", "registry.example/ftft",
    )  # fmt: skip
    with Call(workflow, "--profile", "profiles/kubernetes", *options, "--", LEDGER) as call:
        try:
            wait_for(lambda: jobs or call.process.poll() is not None, 120, "job")
        finally:
            log = call.log.read_text()
    assert jobs, log
    (container,) = jobs[0]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry.example/ftft"
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert container["resources"]["requests"]["memory"] == "1000M"
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/workdir", str(volume)}
    assert "train_reference" in container["args"][1]
