"""What losses share that take each score with its own target."""

from collections.abc import Callable
from math import prod
from numbers import Real
from typing import Any, ClassVar

from portanet.backend import Array, backend_of, dtype_name
from portanet.nn.loss import Loss, LossPullback, reduction_named


class ElementwiseLoss(Loss):
    """A loss with a term ℓ(s, t) for each score s and its target t; a mean is over all of them.

    A subclass says what ℓ and dℓ/ds are, each in one formula, a static method::

        class LogCosh(nn.ElementwiseLoss):
            @staticmethod
            def formula(xp, s, t):  # ℓ, and what the gradient needs
                d = xp.abs(s - t)
                return d + xp.log1p(xp.exp(-2.0 * d)) - 0.6931471805599453, s, t

            @staticmethod
            def gradient(xp, s, t, scale):  # dℓ/ds, times a number, or an array that broadcasts
                return xp.tanh(s - t) * scale

    What else the formula needs `constants` returns; it is given them after t. A backend may make
    one kernel of each formula, where it keeps to what `Kernels.fused` says.

    Shapes: scores and target (N, …), equal; the mean is over all numbers.
    """

    formula: ClassVar[Callable[..., Any]]  # (xp, s, t, *constants) → ℓ and what is kept
    gradient: ClassVar[Callable[..., Array]]  # (xp, *kept, scale) → dℓ/ds · scale

    def __init__(self, reduction: str = "mean") -> None:
        self.reduction = reduction_named(reduction)

    def constants(self, scores: Array) -> tuple[Any, ...]:
        """Return what the formula is given beside scores and targets."""
        return ()

    def vjp(
        self,
        scores: Array,
        target: Array,
        sample_weight: Array | None = None,
        normalizer: float | Array | None = None,
    ) -> tuple[Array, LossPullback]:
        """Return the value, with ``reduction="none"`` of the scores' shape, and the pullback."""
        xp = self._accept(scores, target, sample_weight)
        self._check_shape(tuple(scores.shape), target)
        if target.dtype != scores.dtype:
            target = self._converted(xp, target, scores.dtype)
        losses, slope = backend_of(scores).elementwise(
            self.formula, self.gradient, scores, target, *self.constants(scores)
        )
        weights, divisor = self._weighting(xp, scores, target, sample_weight, normalizer)
        if weights is not None:
            losses = losses * weights
        value = losses if self.reduction == "none" else xp.sum(losses) / divisor

        def pullback(dvalue: float | Array = 1.0) -> Array:
            scale = (float(dvalue) if isinstance(dvalue, Real) else dvalue) / divisor
            return slope(scale if weights is None else scale * weights)

        return value, pullback

    def _converted(self, xp: Any, target: Array, dtype: Any) -> Array:
        if xp.isdtype(target.dtype, "complex floating"):
            self._fail(f"expected a target of real numbers, got {dtype_name(target)}", TypeError)
        return xp.astype(target, dtype)

    def _count(self, target: Array, sample_weight: Array | None) -> float | Array:
        """Return the number of elements, each counted with its sample's weight."""
        return super()._count(target, sample_weight) * prod(target.shape[1:])

    def _check_shape(self, expected: tuple[int, ...], target: Array) -> None:
        if tuple(target.shape) != expected:
            got = tuple(target.shape)
            self._fail(f"expected target of the scores' shape {expected}, got {got}")

    def check(self, scores_shape: tuple[int, ...], target: Array) -> None:
        """Raise ValueError for a target of another shape, and for numbers that are not finite."""
        self._check_shape((*target.shape[:1], *scores_shape[1:]), target)
        self._require_finite(backend_of(target).xp, target)
