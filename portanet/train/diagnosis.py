"""Where numbers that are not finite began: a step is done again, and each layer watched."""

from collections.abc import Iterable
from typing import Any

from portanet.backend import Array, backend_of
from portanet.nn.context import Context, Gradients, Pullback
from portanet.nn.layer import Layer
from portanet.nn.loss import Loss
from portanet.random import Key
from portanet.train.batch import Batch


class _Watch(Context):
    """A context that notes what is not finite, in the order in which it is computed."""

    __slots__ = ("found",)

    def __init__(self, key: Key) -> None:
        super().__init__(training=True, rng=key)
        self.found: list[str] = []

    def child(self, name: str, needs_input_grad: bool = True) -> Context:
        child = super().child(name, needs_input_grad)
        child.found = self.found  # type: ignore[attr-defined]
        return child

    def run(
        self, name: str, layer: Layer, x: Array, needs_input_grad: bool = True
    ) -> tuple[Array, Pullback]:
        y, pullback = super().run(name, layer, x, needs_input_grad)
        found = self.found
        if layer.children:  # its layers are watched
            return y, pullback
        if not all_finite([y]):
            found.append(f"the output of {layer.label}")

        def watched(dy: Array) -> tuple[Array, Gradients]:
            dx, grads = pullback(dy)
            if not all_finite(array for array in (dx, *grads.values()) if array is not None):
                found.append(f"the gradient of {layer.label}")
            return dx, grads

        return y, watched


def diagnosis(model: Layer, loss: Loss, batches: list[Batch], key: Key) -> str:
    """Say where a step's loss or gradients first cease to be finite; this waits for the device.

    The step is done again with the batches and the key that it had, and changes nothing.
    """
    for number, batch in enumerate(batches):
        if not all_finite([batch.x]):
            return "the batch's x is not finite"
        watch = _Watch(key.child(number))
        scores, pullback = watch.run("", model, batch.x)
        value, loss_pullback = loss.vjp(scores, batch.y, batch.weight)
        if not watch.found and not all_finite([value]):
            return "the loss is not finite, and the model's output is"
        pullback(loss_pullback())
        if watch.found:
            return f"{watch.found[0]} is the first that is not finite"
    return "its numbers are not finite"


def is_spoiled(model: Layer) -> bool:
    """Say whether a parameter or a buffer is not finite; this waits for the device."""
    return not all_finite([*model.params.values(), *model.buffers.values()])


def all_finite(arrays: Iterable[Array]) -> Any:
    """Return whether all numbers are finite, as an array of shape () on their device, or True."""
    flags = []
    for array in arrays:
        xp = backend_of(array).xp
        if xp.isdtype(array.dtype, "real floating"):
            flags.append(xp.all(xp.isfinite(array)))
    return xp.all(xp.stack(flags)) if flags else True
