"""Losses give PyTorch's numbers, in generated shapes and with generated options."""

from math import prod
from typing import Any, NamedTuple

import numpy as np
import pytest
from cases import numbers
from hypothesis import assume, given
from hypothesis import strategies as st
from twins import BOUNDS, Draw, both_dtypes, generated, host, shapes, tensor, torch

import portanet as pn
from portanet import nn


class Problem(NamedTuple):
    """A loss's options but for the reduction, its scores and its target."""

    options: dict[str, Any]
    scores: Any
    target: Any


def positive(name: str, shape: Any) -> Any:
    return np.asarray(np.abs(numbers(name, shape)))


# --- losses: each strategy draws a problem -------------------------------------------------------


@st.composite
def cross_entropy(draw: Draw) -> Problem:
    options, scores, target = draw(nll())
    options["label_smoothing"] = draw(st.sampled_from([0.0, 0.1, 1.0]))
    if draw(st.booleans()):
        options["ignore_index"] = -100
        target = positive("target", scores.shape)
        if draw(st.booleans()):  # else they do not sum to 1
            target /= target.sum(axis=1, keepdims=True)
    return Problem(options, -30.0 * scores if draw(st.booleans()) else scores, target)


@st.composite
def nll(draw: Draw) -> Problem:
    n, k, rest = draw(st.integers(1, 7)), draw(st.integers(1, 7)), draw(shapes(0, 2))
    ignored = draw(st.sampled_from([-100, 0, k]))
    labels, size = st.sampled_from([ignored, *range(k)]), n * prod(rest)
    target = np.array(draw(st.lists(labels, min_size=size, max_size=size))).reshape(n, *rest)
    assume(np.any(target != ignored))  # PyTorch gives NaN
    options: dict[str, Any] = {"ignore_index": ignored}
    if draw(st.booleans()):
        options["weight"] = positive("class weight", (k,))
    return Problem(options, -positive("scores", (n, k, *rest)), target)


@st.composite
def bce(draw: Draw) -> Problem:
    scores = numbers("scores", draw(shapes(1, 4))) * draw(st.sampled_from([1.0, 30.0]))
    target = positive("target", scores.shape) % 1.0
    if draw(st.booleans()):
        target = np.round(target)
    options = {}
    for option in ("weight", "pos_weight"):
        if draw(st.booleans()):
            axes = scores.shape[draw(st.integers(1, scores.ndim)) :]
            options[option] = positive(option, [draw(st.sampled_from([1, n])) for n in axes])
    return Problem(options, scores, target)


@st.composite
def distances(draw: Draw, **options: Any) -> Problem:
    shape, scale = draw(shapes(1, 4)), draw(st.sampled_from([1.0, 30.0]))
    options = {name: draw(values) for name, values in options.items()}
    return Problem(options, scale * numbers("scores", shape), numbers("target", shape))


STRATEGIES = {
    nn.BCEWithLogitsLoss: bce(),
    nn.CrossEntropyLoss: cross_entropy(),
    nn.HuberLoss: distances(delta=st.floats(0.1, 10.0)),
    nn.L1Loss: distances(),
    nn.MSELoss: distances(),
    nn.NLLLoss: nll(),
    nn.SmoothL1Loss: distances(beta=st.one_of(st.just(0.0), st.floats(0.1, 10.0))),
}


def test_every_loss_has_a_strategy() -> None:
    public = {getattr(nn, name) for name in nn.__all__}
    losses = {c for c in public if isinstance(c, type) and issubclass(c, nn.Loss)}
    assert STRATEGIES.keys() == losses - {nn.Loss, nn.ElementwiseLoss}


def weighted(kind: Any, options: Any, scores: Any, target: Any, w: Any, reduction: str) -> Any:
    """Return the loss with weights of the samples, which PyTorch lacks."""
    losses = kind(**options, reduction="none")(scores, target)
    w = w.reshape(-1, *(1,) * (losses.ndim - 1))
    if reduction == "none":
        return losses * w
    if reduction == "sum":
        return torch.sum(losses * w)
    counts = torch.ones_like(losses)
    if target.dtype == torch.int64:  # each counts with the weight of its class, or is ignored
        of_labels = {n: options[n] for n in ("weight", "ignore_index") if n in options}
        counts = torch.nn.NLLLoss(**of_labels, reduction="none")(-torch.ones_like(scores), target)
    return torch.sum(losses * w) / torch.sum(counts * w)


@both_dtypes
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("loss", STRATEGIES, ids=lambda loss: loss.__name__)
@generated
@given(data=st.data())
def test_losses(loss: Any, reduction: str, dtype: str, data: Any) -> None:
    pn.set_backend("numpy", dtype=dtype)
    options, scores, target = data.draw(STRATEGIES[loss])
    kind = getattr(torch.nn, loss.__name__)
    their_options = {
        n: tensor(v, dtype) if isinstance(v, np.ndarray) else v for n, v in options.items()
    }
    their_scores = tensor(scores, dtype, grad=True)
    indices = target.dtype.kind == "i"
    their_target = torch.tensor(target) if indices else tensor(target, dtype)
    sample_weight = None
    if data.draw(st.booleans()):
        sample_weight = pn.asarray(positive("sample weight", scores.shape[:1]))
        w = tensor(sample_weight, dtype)
        expected = weighted(kind, their_options, their_scores, their_target, w, reduction)
    else:
        expected = kind(**their_options, reduction=reduction)(their_scores, their_target)

    ours = loss(**options, reduction=reduction)
    value, pullback = ours.vjp(pn.asarray(scores), pn.asarray(target), sample_weight)
    dvalue = numbers("dvalue", value.shape) + 0.5
    expected.backward(tensor(dvalue, dtype))
    expected, gradient = host(expected), host(their_scores.grad)
    assert value.shape == expected.shape
    # A value near 0 is the difference of numbers as large as the scores.
    distance = np.linalg.norm(value - expected)
    assert distance <= BOUNDS[dtype] * max(np.linalg.norm(expected), 0.1)
    distance = np.linalg.norm(pullback(pn.asarray(dvalue)) - gradient)
    assert distance <= BOUNDS[dtype] * max(np.linalg.norm(gradient), 0.1 / len(scores))


def test_where_all_labels_are_ignored_pytorch_alone_gives_nan() -> None:
    scores, target = numbers("scores", (2, 3)), np.array([-100, -100])
    theirs = torch.nn.CrossEntropyLoss()(tensor(scores, "float64"), torch.tensor(target))
    assert np.isnan(float(theirs))
    assert float(nn.CrossEntropyLoss()(scores, target)) == 0.0
