"""Examples as a reader runs them, on the little data that a test writes, and offline."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))  # where Python looks when it runs a program of this folder


@pytest.fixture
def data_folder(tmp_path, monkeypatch):
    """The folder of data sets, empty as yet; nothing is downloaded into it."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("PORTANET_DATA", str(folder))
    monkeypatch.setitem(sys.modules, "pooch", None)
    return folder


@pytest.fixture
def example(data_folder):
    """Import an example: `example("mnist_cnn").main(["--quick"])` runs it in this process."""
    return importlib.import_module


@pytest.fixture
def run_example(data_folder):
    """Run an example in a process of its own: `run_example("mnist_cnn", "--quick", NAME="value")`.

    Returns what subprocess.run does, with the text of both streams.
    """

    def run(name, *arguments, **environment):
        return subprocess.run(
            [sys.executable, str(EXAMPLES / f"{name}.py"), *arguments],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    return run
