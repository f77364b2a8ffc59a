"""The benchmarks run: one short round each, no time is asserted."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="the benchmarks stop and continue processes by POSIX signals"
)


def run(*arguments):
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_quick_round_prints_and_writes_every_contender(tmp_path):
    path = tmp_path / "figures.json"
    done = run("--quick", "--only", "mlp-784,cnn-5x5-b1", "--against", "sklearn", "--json", path)
    assert done.returncode == 0, done.stderr
    for name in ("mlp-784", "cnn-5x5-b1"):
        assert f"\n{name}: " in done.stdout
        figures = json.loads(path.read_text())["figures"][name]
        own = figures["results"]["portanet"]
        assert own["rates"][0] > 0
        assert own["latency"] > 0
        assert own["bytes"] > 0
        assert "sklearn" in figures["results"] | figures["skipped"]
    assert "MLPClassifier has no convolution" in done.stdout or "No module" in done.stdout


def test_unknown_names_are_said():
    done = run("--only", "mlp-785")
    assert done.returncode == 2
    assert "unknown: mlp-785; known: mlp-784" in done.stderr


def test_layers_of_a_workload_fit_together():
    sys.path.insert(0, str(ROOT))
    try:
        from benchmarks.workloads import WORKLOADS
    finally:
        sys.path.remove(str(ROOT))
    assert WORKLOADS["cnn-5x5-b1"].layers() == [
        *(("conv", 1, 8, 5, 0), ("relu",), ("pool", 2), ("conv", 8, 8, 5, 0), ("relu",)),
        *(("pool", 2), ("flatten",), ("linear", 128, 10)),
    ]
    assert WORKLOADS["cnn-3x3"].layers()[-1] == ("linear", 4096, 10)
    assert WORKLOADS["mlp-3072-sgd"].layers()[0] == ("linear", 3072, 512)
