"""What is not given is what PyTorch takes, to the last digit: a few steps do not show an eps."""

import inspect
from typing import Any

import pytest
from twins import torch

from portanet import nn, optim

OURS_ALONE = {"model", "common", "layers"}  # an optimizer's first and last, and Sequential's
TWINS = [
    (ours, theirs)
    for package, peer in ((nn, torch.nn), (optim, torch.optim))
    for name in package.__all__
    if inspect.isclass(ours := getattr(package, name))
    and inspect.isclass(theirs := getattr(peer, name, None))
    and ours is not optim.Optimizer  # which nobody makes
]


@pytest.mark.parametrize(("ours", "theirs"), TWINS, ids=[ours.__name__ for ours, _ in TWINS])
def test_names_order_and_defaults_are_pytorchs(ours: Any, theirs: Any) -> None:
    expected = inspect.signature(theirs).parameters
    got = inspect.signature(ours).parameters
    names = [name for name in got if name not in OURS_ALONE]
    assert names == [name for name in expected if name in got]
    for name in names:
        if ours not in (nn.Softmax, nn.LogSoftmax):  # there None guesses, with a warning
            assert got[name].default == expected[name].default, name


def test_gains_are_pytorchs() -> None:
    init = torch.nn.init
    for ours, theirs in (
        (nn.GlorotUniform, init.xavier_uniform_),
        (nn.GlorotNormal, init.xavier_normal_),
    ):
        assert ours().gain == inspect.signature(theirs).parameters["gain"].default
    for ours in (nn.HeUniform, nn.HeNormal):
        assert ours().gain == init.calculate_gain("relu")
