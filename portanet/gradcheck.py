"""Compare hand-written gradients with finite differences: for portanet's layers and yours.

With F(x, θ) = Σ dy · layer(x) for a fixed random dy, the derivative along a direction v is
(F(x + εv) − F(x − εv)) / 2ε, with an error of order ε². The check compares it with ⟨gradient, v⟩:
for one random v at a time (cheap, and wrong signs, missing factors and swapped axes all show), or
for every element by itself.
"""

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from math import prod, sqrt
from typing import Any

from portanet.backend import Array, Backend, backend_of, dtype_name
from portanet.checks import flag, number
from portanet.nn.context import Context
from portanet.nn.layer import Layer
from portanet.nn.loss import Loss
from portanet.nn.parts import check_parts
from portanet.nn.running import output, pulled
from portanet.random import Key


@dataclass(frozen=True)
class GradientReport:
    """What `check_gradients` found.

    error: the worst relative error.
    where: what it belongs to: ``"x"`` or a parameter's name, with an index where single elements
        were compared, such as ``"weight[0, 2]"``.
    errors: the worst relative error of the input and of each parameter, by name.
    """

    error: float
    where: str
    errors: Mapping[str, float]

    def __str__(self) -> str:
        return f"worst relative error {self.error:.1e} at {self.where}"


def check_gradients(
    function: Layer | Loss,
    x: Array,
    target: Array | None = None,
    *,
    sample_weight: Array | None = None,
    training: bool = True,
    elementwise: bool = False,
    seed: int = 0,
    eps: float | None = None,
) -> GradientReport:
    """Return how far a layer's or a loss's gradients are from finite differences.

    Args:
        function: the layer or loss; it is left as it is.
        x: its input, in the dtype to compute in: float64 to be sure of seven digits. Integers, such
            as indices, have no gradient: the parameters' are checked, in their own dtype.
        target: the target, for a loss.
        sample_weight: the samples' weights, for a loss.
        training: whether the layer runs in training mode (its random masks stay fixed).
        elementwise: compare every element, not one random direction for each array.
        seed: of the directions, of dy and of the masks.
        eps: the step; by default 1e-5 in float64 and 1e-2 in float32.

    The relative error of two derivatives a and b is abs(a − b) / max(abs(a), abs(b), s), where the
    scale s = 10⁻³ · the largest ‖gradient‖ among x and the parameters keeps chance cancellations,
    and gradients that are zero but for rounding, from looking like errors.

    Raises ValueError where x contains a number that is not finite, where gradients are missing or
    of the wrong shape, where there is nothing that has one, where the layer changes x or dy in
    place, where a batch's loss is not the sum of its parts', or where it does not weigh the samples
    by `sample_weight`. A kink (ReLU at 0, a tie in
    max-pooling) within a step has no derivative: choose an x away from it.
    """
    backend = backend_of(x)
    if not isinstance(function, Layer | Loss):
        raise TypeError(f"function must be a Layer or a Loss, got {function!r}")
    training, elementwise = flag("training", training), flag("elementwise", elementwise)
    if eps is not None and number("eps", eps) == 0.0:
        raise ValueError("eps must be above 0, got 0")
    if not bool(backend.xp.all(backend.xp.isfinite(x))):
        raise ValueError("check_gradients: x contains numbers that are not finite")
    key = Key(seed).child("check_gradients")
    if isinstance(function, Layer) and not (target is None and sample_weight is None):
        raise TypeError("check_gradients: a layer takes neither target nor sample_weight")
    if isinstance(function, Loss):
        arrays, gradients, value = _loss(function, x, target, sample_weight)
    else:
        arrays, gradients, value = _layer(function, x, training, backend, key)

    for name, array in arrays.items():
        gradient = gradients.get(name)
        if gradient is None or gradient.shape != array.shape:
            got = None if gradient is None else tuple(gradient.shape)
            raise ValueError(
                f"gradient of {name!r}: expected shape {tuple(array.shape)}, got {got}"
            )
    if eps is None:
        eps = 1e-5 if dtype_name(next(iter(arrays.values()))) == "float64" else 1e-2
    scale = 1e-3 * max(_norm(backend, gradient) for gradient in gradients.values()) or 1.0
    worst = {}
    for name, array in arrays.items():
        worst[name] = (-1.0, name)
        gradient = gradients[name]
        for index, direction in _directions(backend, array, key.child(name), elementwise):
            if index is None:
                analytic = float(backend.xp.sum(gradient * direction))
            else:  # not a sum: a NaN elsewhere must not hide the element
                analytic = float(gradient[index])
            numeric = (value(name, direction, eps) - value(name, direction, -eps)) / (2.0 * eps)
            error = abs(analytic - numeric) / max(abs(analytic), abs(numeric), scale)
            if _badness(error) > _badness(worst[name][0]):
                worst[name] = (error, name if index is None else f"{name}{list(index)}")
    error, where = max(worst.values(), key=lambda pair: _badness(pair[0]))
    return GradientReport(error, where, {name: e for name, (e, _) in worst.items()})


def _badness(error: float) -> tuple[bool, float]:
    """Return what orders errors: NaN, which compares with nothing, is the worst of all."""
    return error != error, error


def _norm(backend: Backend, array: Array) -> float:
    return sqrt(float(backend.xp.sum(array * array)))


Value = Callable[[str, Array, float], float]


def _layer(
    layer: Layer, x: Array, training: bool, backend: Backend, key: Key
) -> tuple[dict[str, Array], dict[str, Array], Value]:
    """Return the arrays to vary, their gradients, and F at an array moved along a direction."""
    differentiable = x.dtype in backend.floats
    if not (differentiable or layer.params):
        raise ValueError("check_gradients: x holds integers, and there are no parameters")
    layer = deepcopy(layer).to(backend, dtype=dtype_name(x) if differentiable else None).unfreeze()

    def run(x: Array) -> tuple[Array, Any]:
        return output(layer, x, Context(training, rng=key.child("mask")))

    given_x = backend.xp.asarray(x, copy=True)
    y, pullback = run(given_x)
    # A pullback belongs to its own call, whatever the layer did since.
    run(0.9 * x if differentiable else backend.xp.flip(x))
    # Far from uniform, so that a sum over the wrong axis shows.
    dy = backend.asarray(key.child("dy").normal(tuple(y.shape)), dtype_name(y))
    given_dy = backend.xp.asarray(dy, copy=True)
    dx, grads = pulled(pullback, given_dy, layer)
    for what, before, after in (("x", x, given_x), ("dy", dy, given_dy)):
        if not bool(backend.xp.all(before == after)):
            raise ValueError(f"{layer.label}: {what} was changed in place; others may hold it")
    if grads.keys() != layer.params.keys():
        raise ValueError(
            f"{layer.label}: the pullback returns gradients for {sorted(grads)}, "
            f"but the parameters are {sorted(layer.params)}"
        )

    def value(name: str, direction: Array, step: float) -> float:
        moved = x
        if name == "x":
            moved = x + step * direction
        else:
            before = backend.xp.asarray(layer.params[name], copy=True)
            layer.params[name] = before + step * direction
        try:
            return float(backend.xp.sum(run(moved)[0] * dy))
        finally:
            if name != "x":
                layer.params[name] = before

    arrays, gradients = dict(layer.params), dict(grads)
    if differentiable:
        arrays, gradients = {"x": x, **arrays}, {"x": dx, **gradients}
    return arrays, gradients, value


def _loss(
    loss: Loss, x: Array, target: Array, sample_weight: Array | None
) -> tuple[dict[str, Array], dict[str, Array], Value]:
    if target is None:
        raise TypeError("check_gradients: a loss needs a target")
    dx = loss.vjp(x, target, sample_weight)[1](1.0)
    check_parts(loss, x, target, sample_weight)  # refuses what gives no one number, too

    def value(name: str, direction: Array, step: float) -> float:
        return float(loss.vjp(x + step * direction, target, sample_weight)[0])

    return {"x": x}, {"x": dx}, value


def _directions(
    backend: Backend, array: Array, key: Key, elementwise: bool
) -> Iterator[tuple[tuple[int, ...] | None, Array]]:
    """Yield a random direction, or each element's index with the direction along it alone."""
    shape = tuple(array.shape)
    if not elementwise:
        yield None, backend.asarray(key.normal(shape), dtype_name(array))
        return
    for flat in range(prod(shape)):
        unit = backend.xp.zeros_like(array)
        index: tuple[int, ...] = ()
        rest = flat
        for size in reversed(shape):
            rest, at = divmod(rest, size)
            index = (at, *index)
        unit[index] = 1.0
        yield index, unit
