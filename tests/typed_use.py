"""What a type checker must know of portanet in a user's program: read by mypy, never run.

A line that is wrong says so by a `type: ignore`; where mypy found nothing wrong with it, the
comment would be an error of its own.
"""

from typing import Any, assert_type

import portanet as pn
from portanet import nn, optim
from portanet.nn.weights import Unmatched


def training(x: Any, y: Any) -> None:
    model = nn.Sequential(nn.Linear(4, 3)).initialize(seed=0)
    assert_type(model, nn.Sequential)
    trainer = pn.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model, lr=0.1))
    assert_type(trainer, pn.Trainer)
    assert_type(trainer.fit((x, y), epochs=2, batch_size=8), pn.History)
    assert_type(trainer.history["loss"], list[float])
    assert_type(trainer.evaluate((x, y)), dict[str, float])
    trainer.fit((x, y), epoch=2)  # type: ignore[call-arg]
    trainer.fit((x, y), epochs="2")  # type: ignore[arg-type]
    trainer.fit((x, y), progress=False).plt()  # type: ignore[attr-defined]
    trainer.evaluate((x, y), batchsize=8)  # type: ignore[call-arg]
    trainer.predict()  # type: ignore[call-arg]


def weights(model: nn.Layer) -> None:
    assert_type(pn.load_weights(model, "w.npz", strict=False), Unmatched)
    assert_type(pn.read_weights("w.npz"), dict[str, Any])
    pn.load_weights("w.npz", model)  # type: ignore[arg-type]
