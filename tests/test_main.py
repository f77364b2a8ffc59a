"""The command line."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import portanet as pn
from portanet.__main__ import SETTINGS, main


def lines_of(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Run ``info`` and return its lines by their first word."""
    assert main(["info"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return {line.split()[0]: line for line in out.splitlines() if line}


def test_info_prints_versions_and_backends(capsys: pytest.CaptureFixture[str]) -> None:
    lines = lines_of(capsys)
    assert lines["portanet"].split()[1] == pn.__version__
    assert lines["NumPy"].split()[1] == np.__version__
    assert lines["Python"].split()[1] == sys.version.split()[0]
    assert {"array-api-compat", "platform", "CPUs", "backend", "BLAS", "devices"} <= lines.keys()
    assert lines["numpy"].split() == ["numpy", "ok"]
    for name, reason in pn.available_backends().items():
        assert lines[name].split(maxsplit=1)[1] == (reason or "ok")


def test_info_tells_the_blas_and_its_threads(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = {"user_api": "blas", "internal_api": "openblas", "version": "0.3", "num_threads": 2}
    pools = [pool | {"user_api": "openmp", "internal_api": "gomp"}, pool]
    monkeypatch.setattr("threadpoolctl.threadpool_info", lambda: pools)
    assert lines_of(capsys)["BLAS"].split(maxsplit=1)[1] == "openblas 0.3 (2 threads)"
    pools.remove(pool)  # as Accelerate, which tells nothing of itself
    assert lines_of(capsys)["BLAS"].endswith(" (threads unknown)")


def test_info_prints_settings_only_where_they_are_set(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    assert not set(SETTINGS) & lines_of(capsys).keys()
    values = dict.fromkeys(SETTINGS, "0") | {"PORTANET_THREADS": "2"}
    values["PORTANET_BACKEND"] = "nonsense"  # shown, not used
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    lines = lines_of(capsys)
    assert {name: lines[name].split() for name in values} == {n: [n, v] for n, v in values.items()}


def test_info_knows_every_setting() -> None:
    root = Path(__file__).parent.parent
    files = [path for folder in ("portanet", "backends") for path in (root / folder).rglob("*.py")]
    words = re.compile(r"\b(?:PORTANET|CUPY|CUDA)_[A-Z][A-Z0-9_]+\b")
    named = {word for path in files for word in words.findall(path.read_text(encoding="utf-8"))}
    assert named == set(SETTINGS)


def test_info_says_what_auto_takes(capsys: pytest.CaptureFixture[str]) -> None:
    expected = pn.set_backend("auto").name
    assert lines_of(capsys)["backend"].split() == ["backend", '"auto"', expected]


def test_a_backend_that_fails_hides_no_other(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def info(_: Any) -> dict[str, str]:
        raise OSError("no answer")

    monkeypatch.setattr(type(pn.set_backend("strict")), "info", info)
    lines = lines_of(capsys)
    assert "OSError('no answer')" in lines["failed"]
    assert "BLAS" in lines


def test_without_portanet_installed_info_still_answers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("classes", "broken"):
        monkeypatch.setattr(f"portanet.registry.{name}", {})
    lines = lines_of(capsys)
    assert "pip install -e" in lines["backend"]


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_without_a_command_it_prints_the_help(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    if arguments:
        with pytest.raises(SystemExit, match="0"):
            main(arguments)
    else:
        assert main(arguments) == 0
    assert "info" in capsys.readouterr().out


def test_an_unknown_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["nonsense"])
    assert "'nonsense'" in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_a_report_where_the_console_lacks_letters(encoding: str, tmp_path: Path) -> None:
    file = tmp_path / "layer.py"
    file.write_text(
        "from portanet import nn\n\n\nclass Größe_Σ(nn.Linear):\n    ...\n\n\n"
        "def made():\n    return Größe_Σ(3, 2)\n",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "portanet", "check", f"{file}:made", "--input", "4,3"]
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    run = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert (run.returncode, run.stderr) == (0, b"")
    assert "Größe_Σ".encode(encoding, "replace") in run.stdout


def test_the_module_runs() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "portanet", "info"], capture_output=True, text=True, check=True
    )
    assert run.stdout.startswith("portanet ")
    assert run.stderr == ""
