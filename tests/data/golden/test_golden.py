"""What earlier releases saved loads, and goes on as it did then."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

import portanet as pn
from portanet.train.checkpoints import read_run

HERE = Path(__file__).parent
spec = importlib.util.spec_from_file_location("runs", HERE / "runs.py")
runs = importlib.util.module_from_spec(spec)
spec.loader.exec_module(runs)
RUNS = sorted(HERE.glob("run-*.safetensors"))
WEIGHTS = sorted(HERE.glob("weights-*"))


def expected(path):
    version = path.stem.partition("-")[2]
    return json.loads((HERE / f"run-{version}.json").read_text())


def test_this_version_has_its_files():
    assert HERE / f"run-{pn.__version__}.safetensors" in RUNS
    assert len(WEIGHTS) == 2 * len(RUNS)


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_a_saved_run_goes_on_as_it_did(path, library):
    library.select("float32")
    run = runs.trainer(seed=5)
    train, validation = runs.data()
    history = run.fit(train, validation_data=validation, **runs.OPTIONS, resume=path)
    then, rtol = expected(path), 1e-5 if library.name == "numpy" else 1e-3
    for name, values in then["history"].items():
        np.testing.assert_allclose(history[name], values, rtol=rtol, err_msg=name)
    for name, values in then["steps"].items():
        np.testing.assert_allclose(history.steps[name], values, rtol=rtol, err_msg=name)
    state, rtol = run.model.state_dict(), 1e-5 if library.name == "numpy" else 0.02
    sums = {n: np.sum(np.abs(run.model.backend.to_numpy(a))) for n, a in state.items()}
    for name, value in then["sums"].items():
        np.testing.assert_allclose(sums[name], value, rtol=rtol, err_msg=name)


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_it_was_saved_within_an_epoch(path):
    state = read_run(path)
    assert (state["epoch"], state["step"]) == (1, 7)
    assert state["unfinished"] is not None
    assert state["best"] is not None


@pytest.mark.parametrize("path", WEIGHTS, ids=lambda path: path.name)
def test_saved_weights_load(path):
    run = runs.trainer(seed=5)
    pn.load_weights(run.model, path)
    for name, array in run.model.state_dict().items():
        np.testing.assert_allclose(np.sum(np.abs(array)), expected(path)["sums"][name], rtol=1e-6)
