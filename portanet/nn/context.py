"""What a layer is told beside its input, and what it tells beside its output."""

from typing import TYPE_CHECKING, Any, Protocol

from portanet.backend import Array
from portanet.checks import instance, integer
from portanet.display import shown
from portanet.nn.running import no_output
from portanet.random import Key

if TYPE_CHECKING:
    from portanet.nn.layer import Layer

Gradients = dict[str, Array]


class Pullback(Protocol):
    """The derivative of one call: from dy = dL/dy, the loss's gradient, to (dx, grads).

    `dx` is None where it was not asked for; `grads` has the names and shapes of the parameters.
    """

    def __call__(self, dy: Array, /) -> tuple[Array, Gradients]:
        """Return dL/dx, and the gradient of each parameter by name."""


class Context:
    """One forward pass: its mode, its random numbers, and the buffers that it changes.

    training: batch norm uses the batch's statistics, dropout drops.
    rng: the key of this pass's random numbers; each layer sees a child of it by its name. The same
        key draws the same mask again.
    needs_input_grad: whether the pullback's dx will be used. Where it is False, a layer with
        parameters saves its computation; the pullback of one without is not run at all.
    needs_pullback: False for inference: containers then keep nothing for a backward pass.
    first_sample: the index of x's first sample in the whole batch, where x is a part of one.
    updates: new values of buffers, by (layer, name), such as running statistics. Whoever runs the
        step applies them with `apply_updates`, so that a forward pass changes nothing.
    """

    __slots__ = (
        "_key",
        "_path",
        "first_sample",
        "needs_input_grad",
        "needs_pullback",
        "training",
        "updates",
    )

    def __init__(
        self,
        training: bool = False,
        rng: Key | None = None,
        needs_input_grad: bool = True,
        needs_pullback: bool = True,
        first_sample: int = 0,
    ) -> None:
        self.training = training
        self.first_sample = integer("first_sample", first_sample, least=0)
        self.needs_input_grad = needs_input_grad
        self.needs_pullback = needs_pullback
        self.updates: dict[tuple[Layer, str], Array] = {}
        self._key = None if rng is None else instance("rng", rng, Key)
        self._path: tuple[str, ...] = ()

    __repr__ = shown

    @property
    def rng(self) -> Key | None:
        """The key of this layer's random numbers in this pass, or None if none was given."""
        return self._key and self._key.child(*self._path)

    def child(self, name: str, needs_input_grad: bool = True) -> "Context":
        """Return the context of a container's child: its own random numbers, the same updates."""
        child = type(self).__new__(type(self))
        child.training = self.training
        child.first_sample = self.first_sample
        child.needs_input_grad = needs_input_grad
        child.needs_pullback = self.needs_pullback
        child.updates = self.updates
        child._key = self._key
        child._path = (*self._path, name)
        return child

    def run(
        self, name: str, layer: "Layer", x: Array, needs_input_grad: bool = True
    ) -> tuple[Array, Pullback]:
        """Run a container's child under its name; every container calls its children through this.

        A subclass of Context can so watch each layer's input and output.
        """
        given = layer.vjp(x, self.child(name, needs_input_grad))
        if not (isinstance(given, tuple) and len(given) == 2):
            raise no_output(layer, given)
        return given

    def apply_updates(self) -> None:
        """Write the new values of the buffers into place."""
        for (layer, name), value in self.updates.items():
            layer.buffers[name] = value


def no_pullback(dy: Any) -> tuple[Array, Gradients]:
    """Stand in for the pullback of a pass that kept none."""
    raise RuntimeError("this pass ran with needs_pullback=False: it has no backward pass")
