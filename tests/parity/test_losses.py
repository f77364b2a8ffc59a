"""Losses give PyTorch's numbers, in generated shapes."""

from typing import Any

import numpy as np
import pytest
from cases import numbers
from hypothesis import given
from hypothesis import strategies as st
from twins import BOUNDS, Draw, both_dtypes, generated, host, pairs, shapes, tensor, torch

import portanet as pn
from portanet import nn


def cross_entropy(scores: Any, target: Any) -> Any:
    return torch.nn.functional.cross_entropy(scores, target, reduction="none")


def squared_error(scores: Any, target: Any) -> Any:
    return torch.mean((scores - target) ** 2, dim=tuple(range(1, scores.ndim)))


@st.composite
def class_scores(draw: Draw) -> Any:
    n, k = draw(pairs(1, 7))
    if draw(st.booleans()):
        return (n, k), np.array(draw(st.lists(st.integers(0, k - 1), min_size=n, max_size=n)))
    soft = np.abs(numbers("soft", (n, k)))
    return (n, k), soft / (soft.sum(axis=1, keepdims=True) if draw(st.booleans()) else 1.0)


LOSSES = {
    nn.CrossEntropyLoss: (class_scores(), cross_entropy, torch.nn.CrossEntropyLoss),
    nn.MSELoss: (
        shapes(2, 4).map(lambda shape: (shape, numbers("target", shape))),
        squared_error,
        torch.nn.MSELoss,
    ),
}


def test_every_loss_has_a_strategy() -> None:
    public = {getattr(nn, name) for name in nn.__all__}
    losses = {c for c in public if isinstance(c, type) and issubclass(c, nn.Loss)} - {nn.Loss}
    assert LOSSES.keys() == losses


@both_dtypes
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
@generated
@given(data=st.data())
def test_losses(loss: Any, dtype: str, data: Any) -> None:
    pn.set_backend("numpy", dtype=dtype)
    strategy, of_samples, module = LOSSES[loss]
    shape, target = data.draw(strategy)
    scores, scale = numbers("scores", shape), data.draw(st.sampled_from([1.0, 30.0]))
    their_scores = tensor(scale * scores, dtype, grad=True)
    indices = target.dtype.kind == "i"
    their_target = torch.tensor(target) if indices else tensor(target, dtype)
    weights = None
    if data.draw(st.booleans()):
        weights = pn.asarray(np.abs(numbers("weights", shape[:1])))
        w = tensor(weights, dtype)
        expected = torch.sum(of_samples(their_scores, their_target) * w) / torch.sum(w)
    else:
        expected = module()(their_scores, their_target)
    expected.backward()
    expected = expected.item()

    value, pullback = loss().vjp(pn.asarray(scale * scores), pn.asarray(target), weights)
    # A value near 0 is the difference of numbers as large as the scores.
    assert abs(float(value) - expected) <= BOUNDS[dtype] * max(expected, 0.1)
    gradient = host(their_scores.grad)
    distance = np.linalg.norm(pullback() - gradient)
    assert distance <= BOUNDS[dtype] * max(np.linalg.norm(gradient), 0.1 / shape[0])
