"""Run layers and pullbacks that anybody may have written: what they return is looked at.

An array of two samples could be taken for a pair. `Context.run` and composites' pullbacks look
themselves, for each layer in each step: a call would cost more than the look.
"""

from typing import TYPE_CHECKING, Any, Protocol

from portanet.backend import Array, dtype_name

if TYPE_CHECKING:
    from portanet.nn.context import Context, Gradients, Pullback
    from portanet.nn.layer import Layer


class Labeled(Protocol):
    """What has a name for messages."""

    @property
    def label(self) -> str:
        """The name."""


def output(layer: "Layer", x: Array, ctx: "Context") -> "tuple[Array, Pullback]":
    """Return (y, pullback) of a layer, or raise TypeError where its vjp returns something else."""
    given = layer.vjp(x, ctx)
    if not (isinstance(given, tuple) and len(given) == 2):
        raise no_output(layer, given)
    return given


def pulled(pullback: "Pullback", dy: Array, whose: Labeled) -> "tuple[Array, Gradients]":
    """Return (dx, grads) of a pullback, or raise TypeError where it returns something else."""
    given = pullback(dy)
    if not (isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], dict)):
        raise no_gradients(whose, given)
    return given


def no_output(layer: Labeled, given: Any) -> TypeError:
    """Return the error where a vjp returned no pair."""
    return TypeError(f"{layer.label}: vjp must return (y, pullback), got {kind(given)}")


def no_gradients(whose: Labeled, given: Any) -> TypeError:
    """Return the error where a pullback returned no pair."""
    return TypeError(f"{whose.label}: the pullback must return (dx, grads), got {kind(given)}")


def kind(given: Any) -> str:
    """Say what something is that should have been something else."""
    if isinstance(given, tuple):
        return f"a tuple of {', '.join(map(kind, given)) or 'nothing'}"
    name = f"{type(given).__module__}.{type(given).__name__}".removeprefix("builtins.")
    return f"{name} of {dtype_name(given)}" if hasattr(given, "dtype") else name
