"""AveragedWeights gives the means of PyTorch's AveragedModel."""

from typing import Any

import pytest
from cases import numbers
from twins import assert_near, host, networks, optimizers, tensor, torch

import portanet as pn
from portanet import nn, optim


@pytest.mark.parametrize("decay", [None, 0.9, 0.0])
def test_averaged_weights(decay: float | None) -> None:
    ours, theirs = networks()
    optimizer, their_optimizer = optimizers(optim.SGD, {"lr": 0.1}, ours, theirs)
    utils: Any = torch.optim.swa_utils
    blend = None if decay is None else utils.get_ema_multi_avg_fn(decay)
    their_average = utils.AveragedModel(theirs, multi_avg_fn=blend)
    average, (x, target) = (
        pn.AveragedWeights(decay),
        (numbers("x", (4, 6)), numbers("target", (4, 3))),
    )
    trainer = pn.Trainer(ours, nn.MSELoss(), optimizer, callbacks=[average])
    trainer.fit((x, target), steps=20, batch_size=4, shuffle=False, progress=False)
    for _ in range(20):
        their_optimizer.zero_grad()
        torch.nn.MSELoss()(theirs(tensor(x, "float64")), tensor(target, "float64")).backward()
        their_optimizer.step()
        their_average.update_parameters(theirs)
    for name, p in their_average.module.named_parameters():
        assert_near(average.weights[name], host(p), 1e-10, name)
