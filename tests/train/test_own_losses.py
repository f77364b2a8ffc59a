"""Losses of one's own: whether a batch can be cut is checked, and some batches stay whole."""

from typing import Any

import numpy as np
import pytest
from cases import numbers

import portanet as pn
from portanet import nn, optim

X = numbers("x", (200, 1, 8, 8)).astype("float32")
TARGET = numbers("target", (200, 3)).astype("float32")
WEIGHT = np.linspace(0.5, 2.0, 200)


class Own(nn.Loss):
    """Σₙ wₙ ‖sₙ − tₙ‖² / normalizer, with a divisor for the value and one for the gradient."""

    def divisors(self, normalizer: Any, d: Any) -> Any:
        return normalizer, normalizer

    def vjp(self, scores: Any, target: Any, weight: Any = None, normalizer: Any = None) -> Any:
        backend = pn.backend_of(scores, target)
        d = scores - target
        whole = self.normalizer(target, weight) if normalizer is None else normalizer
        n, n_gradient = self.divisors(whole, d)
        factors = backend.xp.ones((d.shape[0], 1), dtype=d.dtype, device=d.device)
        if weight is not None:
            factors = backend.xp.reshape(weight, (-1, 1))
        value = backend.xp.sum(factors * d * d) / n
        return value, lambda dvalue=1.0: dvalue * 2.0 * factors * d / n_gradient


class IgnoresNormalizer(Own):
    """Divides by its own number of samples."""

    def divisors(self, normalizer: Any, d: Any) -> Any:
        return float(d.shape[0]), float(d.shape[0])


class WrongGradient(Own):
    """Has the right value, and the gradient of the part's own mean."""

    def divisors(self, normalizer: Any, d: Any) -> Any:
        return normalizer, float(d.shape[0])


class Total(Own):
    """A sum: the normalizer is none of its business."""

    reduction = "sum"

    def divisors(self, normalizer: Any, d: Any) -> Any:
        return 1.0, 1.0


class IgnoresWeights(Own):
    """Divides by the sum of the weights what they did not weigh."""

    def vjp(self, scores: Any, target: Any, weight: Any = None, normalizer: Any = None) -> Any:
        whole = self.normalizer(target, weight) if normalizer is None else normalizer
        return super().vjp(scores, target, None, whole)


class WeighsTheValueAlone(Own):
    """Has the right value, and the gradient of samples that all weigh 1."""

    def vjp(self, scores: Any, target: Any, weight: Any = None, normalizer: Any = None) -> Any:
        whole = self.normalizer(target, weight) if normalizer is None else normalizer
        value, _ = super().vjp(scores, target, weight, whole)
        return value, super().vjp(scores, target, None, whole)[1]


class Spread(nn.Loss):
    """The differences between all scores of a batch, which its parts know nothing of."""

    def vjp(self, scores: Any, target: Any, weight: Any = None, normalizer: Any = None) -> Any:
        xp = pn.backend_of(scores).xp
        n = float(scores.shape[0])
        d = scores - xp.mean(scores, axis=0, keepdims=True)
        return xp.sum(d * d) / n, lambda dvalue=1.0: dvalue * 2.0 * d / n


class ScaledSpread(Spread):
    """The same, divided by the normalizer that it is given: that alone does not make it a sum."""

    def vjp(self, scores: Any, target: Any, weight: Any = None, normalizer: Any = None) -> Any:
        normalizer = self.normalizer(target, weight) if normalizer is None else normalizer
        value, pullback = super().vjp(scores, target)
        factor = scores.shape[0] / normalizer
        return value * factor, lambda dvalue=1.0: pullback(dvalue) * factor


class Contrastive(Spread):
    """The same, and it says so."""

    couples_samples = True


def trainer(loss: nn.Loss, seed: int = 0) -> pn.Trainer:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).initialize(seed)
    return pn.Trainer(model, loss, optim.SGD(model, lr=0.0), metrics=())


WRONG = [IgnoresNormalizer, WrongGradient, Spread, ScaledSpread]
CALLS = {
    "fit": lambda run: run.fit((X, TARGET), batch_size=100, progress=False),
    "fit on batches": lambda run: run.fit([(X, TARGET)], progress=False),
    "accumulate": lambda run: run.fit((X, TARGET), batch_size=2, accumulate=4, progress=False),
    "validation": lambda run: run.fit((X, TARGET), validation_data=(X, TARGET), progress=False),
    "evaluate": lambda run: run.evaluate((X, TARGET)),
    "evaluate with weights": lambda run: run.evaluate((X, TARGET), sample_weight=WEIGHT),
    "check_gradients": lambda run: pn.check_gradients(
        run.loss, run.model(pn.asarray(X)), pn.asarray(TARGET)
    ),
}


@pytest.mark.parametrize("loss", WRONG)
@pytest.mark.parametrize("call", CALLS)
def test_what_is_no_sum_over_samples_is_refused(library: Any, loss: Any, call: str) -> None:
    run = trainer(loss())
    name = loss.__name__
    with pytest.raises(ValueError, match=f"{name}: .* in two parts.* couples_samples = True"):
        CALLS[call](run)
    assert run.step == 0


@pytest.mark.parametrize("loss", [IgnoresNormalizer, WrongGradient])
def test_a_single_sample_shows_it_too(library: Any, loss: Any) -> None:
    with pytest.raises(ValueError, match="in two parts"):
        trainer(loss()).fit((X, TARGET), batch_size=1, accumulate=4, progress=False)


WEIGHTED = {
    "fit": lambda run, w: run.fit((X, TARGET), sample_weight=w, progress=False),
    "accumulate": lambda run, w: run.fit([(X, TARGET, w)] * 2, accumulate=2, progress=False),
    "evaluate": lambda run, w: run.evaluate((X, TARGET), sample_weight=w),
    "check_gradients": lambda run, w: pn.check_gradients(
        run.loss, run.model(pn.asarray(X)), pn.asarray(TARGET), sample_weight=pn.asarray(w)
    ),
}


@pytest.mark.parametrize("loss", [IgnoresWeights, WeighsTheValueAlone])
@pytest.mark.parametrize("call", WEIGHTED)
@pytest.mark.parametrize("weight", [WEIGHT, np.full(200, 3.0)], ids=["unlike", "alike"])
def test_weights_that_are_not_heeded_are_refused(
    library: Any, loss: Any, call: str, weight: Any
) -> None:
    message = f"{loss.__name__}: vjp does not weigh the samples by sample_weight"
    with pytest.raises(ValueError, match=message):
        WEIGHTED[call](trainer(loss()), weight)


@pytest.mark.parametrize("loss", [Own, Total, nn.MSELoss])
@pytest.mark.parametrize("options", [{"batch_size": 200}, {"batch_size": 25, "accumulate": 8}])
def test_a_sum_over_samples_is_trained_in_parts(library: Any, loss: Any, options: Any) -> None:
    run = trainer(loss())
    x, target, weight = (library.backend.asarray(a, "float32") for a in (X, TARGET, WEIGHT))
    run.model.to(dtype="float32")
    expected = pytest.approx(float(run.loss(run.model(x), target, weight)), rel=1e-5)
    history = run.fit((x, target), sample_weight=weight, progress=False, **options)
    assert history["loss"] == [expected]
    assert run.evaluate((x, target), sample_weight=weight)["loss"] == expected


def test_what_couples_samples_stays_whole(library: Any) -> None:
    run = trainer(Contrastive())
    scores = run.model(library.array(X))
    expected = pytest.approx(float(run.loss(scores, scores)), rel=1e-5)
    assert run.fit((X, TARGET), batch_size=200, progress=False)["loss"] == [expected]
    assert run.evaluate((X, TARGET), batch_size=200)["loss"] == expected
    bound = 1e-6 if library.dtype == "float64" else 1e-2
    assert pn.check_gradients(Contrastive(), scores, scores).error < bound
    message = "accumulate=2: Contrastive compares the samples of a batch"
    with pytest.raises(ValueError, match=message):
        run.fit((X, TARGET), accumulate=2, progress=False)


def test_numbers_that_are_not_finite_are_told_as_such() -> None:
    run = trainer(nn.MSELoss())
    run.model.params["1.weight"] = np.full((3, 64), np.inf)
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match="step 1"):
        run.fit((X, TARGET), batch_size=100, progress=False)


def test_a_loss_must_take_what_it_is_called_with() -> None:
    message = (
        r"Short.vjp takes \(self, scores, target\), but is called with \(self, scores, target, s"
    )
    with pytest.raises(TypeError, match=message):

        class Short(nn.Loss):
            def vjp(self, scores, target):  # type: ignore[no-untyped-def, override]
                return None

    with pytest.raises(TypeError, match=r"Short\.normalizer takes"):
        type("Short", (nn.Loss,), {"normalizer": lambda self: 1.0})
