"""A running mean of the parameters, beside those that are trained."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from typing import TYPE_CHECKING, Any

from portanet.backend import Array
from portanet.checks import integer, number
from portanet.nn.arrays import Arrays
from portanet.train.callback import Callback

if TYPE_CHECKING:
    from portanet.nn.layer import Layer
    from portanet.train.trainer import Trainer


class AveragedWeights(Callback):
    """Keeps a running mean of the parameters, which often generalizes better than the last ones.

    After each step m ← m + (1 − decay) (p − m), beginning with m = p after the first; with
    ``decay=None`` m is the mean of all steps, m ← m + (p − m) / n. Training goes on with p::

        average = pn.AveragedWeights(decay=0.99)
        pn.Trainer(model, loss, optimizer, callbacks=[average]).fit(train)
        with average.applied(model):
            pn.save_weights(model, "average.safetensors")

    Args:
        decay: in [0, 1): about the last 1 / (1 − decay) steps count. None weighs all alike.
        start: how many steps to pass over before.

    `weights` has the mean by the parameters' names; a checkpoint holds it. Buffers are not
    averaged: the model's, such as running statistics, are of the parameters that are trained. With
    the Trainer's ``on_nan="rollback"`` what is not finite, as a step that will be undone may leave
    it, is passed over.

    Sources: Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", 1992;
    Izmailov et al., "Averaging weights leads to wider optima and better generalization", 2018.
    """

    def __init__(self, decay: float | None = 0.999, start: int = 0) -> None:
        self.decay = None if decay is None else number("decay", decay, high=1.0)
        if self.decay == 1.0:
            raise ValueError("decay must be below 1: with 1 nothing would ever be averaged")
        self.start = integer("start", start, least=0)
        self._model: Layer | None = None
        self._forget()

    def _forget(self) -> None:
        self.count = 0
        self.weights: dict[str, Array] = {}

    def on_fit_begin(self, trainer: "Trainer") -> None:
        """Go on with the same model; begin anew with another."""
        if self._model not in (None, trainer.model):
            self._forget()
        self._model = trainer.model

    def on_step_end(self, trainer: "Trainer", step: int) -> None:
        """Take the new parameters into the mean."""
        if step <= self.start:
            return
        backend, params = trainer.model.backend, trainer.model.params
        if not isinstance(self.weights, Arrays):  # none yet, or as a file had them
            means = Arrays(_copies(trainer.model))
            means.update(self.weights)
            self.weights = means
        self.count += 1
        share = 1.0 / self.count if self.decay is None else 1.0 - self.decay
        undone = trainer.on_nan == "rollback"
        pairs = [(m, params[name]) for name, m in self.weights.items()]
        backend.fused_each(_blend, [(backend.xp, m, p, share, undone) for m, p in pairs])

    @contextmanager
    def applied(self, model: "Layer") -> Iterator[None]:
        """Let the model have the mean for its parameters, within a ``with`` block."""
        if not self.weights:
            raise RuntimeError("AveragedWeights: there is no mean, for no step was averaged yet")
        own = _copies(model)
        try:
            model.params.update(self.weights)
            yield
        finally:
            model.params.update(own)

    def state_dict(self) -> dict[str, Any]:
        """Return the mean, and over how many steps it was taken."""
        copies = {name: m + 0.0 for name, m in self.weights.items()}  # it goes on changing
        return {"count": self.count, "weights": copies}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict`."""
        self.count, self.weights = int(state["count"]), dict(state["weights"])


def _copies(model: "Layer") -> dict[str, Array]:
    xp = model.backend.xp
    return {name: xp.asarray(p, copy=True) for name, p in model.params.items()}


def _blend(xp: Any, m: Array, p: Array, share: float, undone: bool) -> None:
    """Take p into the mean m; the numbers that are not finite as well, unless steps are undone."""
    d = p - m
    m += share * (xp.where(xp.abs(d) < inf, d, 0.0) if undone else d)
