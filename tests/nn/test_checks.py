"""Values of x that are impossible are found where x reaches a layer that knows."""

import numpy as np
import pytest

import portanet as pn
from portanet import nn

MODELS = {
    "alone": lambda table: table,
    "first": lambda table: nn.Sequential(table, nn.Linear(2, 2)),
    "body": lambda table: nn.Residual(table, nn.Embedding(9, 2)),
    "shortcut": lambda table: nn.Residual(nn.Embedding(9, 2), table),
    "branch": lambda table: nn.Parallel(nn.Embedding(9, 2), table),
}


@pytest.mark.parametrize("name", MODELS)
def test_an_index_beyond_the_table(name: str) -> None:
    model = MODELS[name](nn.Embedding(5, 2))
    assert model(pn.asarray(np.array([4, 0]))).shape == (2, 2)
    for wrong in ([5, 0], [0, -1]):
        with pytest.raises(ValueError, match="indices"):
            model(pn.asarray(np.array(wrong)))


def test_frozen_while_training_the_rest_leaves_buffers_following() -> None:
    norm = nn.BatchNorm1d(2).freeze()
    norm.forward(pn.asarray(np.array([[1.0, 2.0], [3.0, 5.0]])), training=True)
    assert float(norm.buffers["running_mean"][0]) != 0.0
