"""AveragedWeights: what the mean is, that it survives a run's end, and lets the model be."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import numbers

import portanet as pn
from portanet import nn, optim
from portanet.fusion import written
from portanet.tracing import Functions, Traced
from portanet.train.averaging import _blend

X, Y = numbers("x", (12, 3)), numbers("y", (12, 2))
DATA: dict[str, Any] = {"batch_size": 4, "progress": False}


class Seen(pn.Callback):
    """Keeps the weights after every step, as Python's numbers; may end the run."""

    def __init__(self, stop: int | None = None) -> None:
        self.stop, self.weights = stop, []

    def on_step_end(self, trainer: pn.Trainer, step: int) -> None:
        weight = trainer.model.params["0.weight"]
        self.weights.append(np.array(trainer.model.backend.to_numpy(weight), "float64"))
        if step == self.stop:
            raise KeyboardInterrupt


def trainer(*callbacks: pn.Callback) -> pn.Trainer:
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).initialize(3)
    return pn.Trainer(model, nn.MSELoss(), optim.SGD(model, lr=0.3), callbacks=callbacks)


def fitted(place: Any, average: pn.AveragedWeights, **options: Any) -> tuple[Any, pn.Trainer]:
    """Train, and return the weights of each step, and the trainer."""
    seen = Seen()
    run = trainer(average, seen)
    run.fit((place.array(X), place.array(Y)), epochs=3, **DATA, **options)
    assert len(seen.weights) == 9
    return seen.weights, run


def test_an_exponential_mean(place: Any) -> None:
    average = pn.AveragedWeights(decay=0.7)
    weights, run = fitted(place, average)
    expected = weights[0]
    for weight in weights[1:]:
        expected = 0.7 * expected + 0.3 * weight
    place.check(average.weights["0.weight"], (2, 3))
    np.testing.assert_allclose(place.host(average.weights["0.weight"]), expected, place.rtol)
    assert average.weights.keys() == run.model.params.keys()


@pytest.mark.parametrize("undone", [False, True])
def test_its_formula_can_be_one_kernel(undone: bool) -> None:
    kernel, numbers_of = written(_blend, (Functions, Traced, Traced, 0.25, undone))
    assert kernel.changed == (0,)
    assert 0.25 in numbers_of


@pytest.mark.parametrize("start", [0, 4])
def test_a_mean_of_all_steps_from_a_certain_one_on(place: Any, start: int) -> None:
    average = pn.AveragedWeights(decay=None, start=start)
    weights, _ = fitted(place, average)
    mean = np.mean(weights[start:], axis=0)
    np.testing.assert_allclose(place.host(average.weights["0.weight"]), mean, place.rtol)
    assert average.count == 9 - start


def test_training_is_as_without(place: Any) -> None:
    _, run = fitted(place, pn.AveragedWeights())
    plain = trainer()
    plain.fit((place.array(X), place.array(Y)), epochs=3, **DATA)
    assert run.history["loss"] == plain.history["loss"]
    for name, array in plain.model.state_dict().items():
        np.testing.assert_array_equal(place.host(run.model.state_dict()[name]), place.host(array))


def test_the_model_has_the_mean_within_a_block_alone(library: Any) -> None:
    average = pn.AveragedWeights(0.5)
    _, run = fitted(library, average)
    model, x = run.model, library.array(X)
    before = {name: library.host(p) for name, p in model.params.items()}
    twin = trainer().model
    twin.load_state_dict(model.state_dict() | average.weights)

    def fail() -> None:
        with average.applied(model):
            np.testing.assert_array_equal(library.host(model(x)), library.host(twin(x)))
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    for name, p in model.params.items():
        assert np.any(library.host(average.weights[name]) != before[name])
        np.testing.assert_array_equal(library.host(p), before[name])


@pytest.mark.usefixtures("pythons_handler")
def test_a_run_that_goes_on_has_the_mean_of_one_that_never_ended(
    library: Any, tmp_path: Path
) -> None:
    whole = pn.AveragedWeights(0.9, start=2)
    fitted(library, whole)
    data = library.array(X), library.array(Y)
    options = {"epochs": 3, "checkpoint": pn.Checkpoints(tmp_path, steps=1), **DATA}
    with pytest.raises(KeyboardInterrupt):
        trainer(pn.AveragedWeights(0.9, start=2), Seen(stop=5)).fit(data, **options)
    average = pn.AveragedWeights(0.9, start=2)
    trainer(average, Seen()).fit(data, resume="auto", **options)
    assert average.count == whole.count == 7
    for name, mean in whole.weights.items():
        np.testing.assert_array_equal(library.host(average.weights[name]), library.host(mean))


def test_another_fit_goes_on_and_another_model_begins_anew() -> None:
    average, data = pn.AveragedWeights(None), (X, Y)
    run = trainer(average)
    run.fit(data, epochs=1, **DATA)
    run.fit(data, epochs=1, **DATA)
    assert average.count == 6
    trainer(average).fit(data, epochs=1, **DATA)
    assert average.count == 3


def test_a_saved_mean_stays_as_it_is() -> None:
    average = pn.AveragedWeights(0.5)
    run = trainer(average)
    run.fit((X, Y), epochs=1, **DATA)
    saved = average.state_dict()
    before = {name: np.array(m) for name, m in saved["weights"].items()}
    run.fit((X, Y), epochs=1, **DATA)
    for name, m in saved["weights"].items():
        np.testing.assert_array_equal(m, before[name])
        assert np.any(average.weights[name] != m)


def test_the_mean_of_another_model_is_refused() -> None:
    average, other = pn.AveragedWeights(), pn.AveragedWeights()
    trainer(average).fit((X, Y), epochs=1, **DATA)
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    run = pn.Trainer(model, nn.MSELoss(), optim.SGD(model), callbacks=[other])
    other.load_state_dict(average.state_dict())
    with pytest.raises(ValueError, match=r"0\.weight: expected shape \(4, 3\), got \(2, 3\)"):
        run.fit((X, Y), epochs=1, **DATA)


def test_what_an_undone_step_left_is_passed_over(library: Any) -> None:
    class Spoil(pn.Callback):
        def on_step_end(self, trainer: pn.Trainer, step: int) -> None:
            if step == 3:
                trainer.model.params["0.bias"] = [np.nan, np.inf]

    average = pn.AveragedWeights(0.5)
    run = trainer(Spoil(), average)
    run.on_nan = "rollback"
    run.fit((library.array(X), library.array(Y)), epochs=3, **DATA)
    assert run.history["undone"][0] > 0
    for mean in average.weights.values():
        assert np.isfinite(library.host(mean)).all()
