"""Losses of numbers: how far the scores are from the targets."""

from typing import Any

from portanet.backend import Array, backend_of
from portanet.checks import number
from portanet.nn.elementwise_loss import ElementwiseLoss


class MSELoss(ElementwiseLoss):
    """Mean squared error: ℓ = (s − t)², dℓ/ds = 2 (s − t).

    Args:
        reduction: "mean" over all numbers, "sum", or "none" for the array of the ℓ.

    Shapes: scores s and target t (N, …), equal; t of any real dtype. The result has the scores'
    dtype. `sample_weight` (N,) weighs the samples.
    """

    @staticmethod
    def formula(xp: Any, s: Array, t: Array) -> tuple[Array, Array]:
        d = s - t
        return d * d, d

    @staticmethod
    def gradient(xp: Any, d: Array, scale: Any) -> Array:
        return d * (2.0 * scale)


class L1Loss(ElementwiseLoss):
    """Mean absolute error: ℓ = abs(s − t), dℓ/ds = sign(s − t), which is 0 where s = t.

    Args:
        reduction: "mean" over all numbers, "sum", or "none" for the array of the ℓ.

    Shapes: scores s and target t (N, …), equal; t of any real dtype. The result has the scores'
    dtype. `sample_weight` (N,) weighs the samples.
    """

    @staticmethod
    def formula(xp: Any, s: Array, t: Array) -> tuple[Array, Array]:
        d = s - t
        return xp.abs(d), d

    @staticmethod
    def gradient(xp: Any, d: Array, scale: Any) -> Array:
        return xp.sign(d) * scale


class HuberLoss(ElementwiseLoss):
    """Squared where the error is small, absolute where it is large.

    With d = s − t and c = d, clipped to [−delta, delta]: ℓ = c (d − c/2), that is d²/2 where
    abs(d) ≤ delta, else delta (abs(d) − delta/2); dℓ/ds = c.

    Args:
        reduction: "mean" over all numbers, "sum", or "none" for the array of the ℓ.
        delta: where the two meet, above 0.

    Shapes: scores s and target t (N, …), equal; t of any real dtype. The result has the scores'
    dtype. `sample_weight` (N,) weighs the samples. Source: Huber, "Robust estimation of a location
    parameter", 1964.
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        self.delta = number("delta", delta, infinite=True)
        if self.delta == 0.0:
            raise ValueError("delta must be above 0: with 0 there would be no loss")

    def constants(self, scores: Array) -> tuple[float, ...]:
        return (self.delta,)

    @staticmethod
    def formula(xp: Any, s: Array, t: Array, delta: float) -> tuple[Array, Array]:
        d = s - t
        c = _clipped(xp, d, delta)
        return c * (d - 0.5 * c), c

    @staticmethod
    def gradient(xp: Any, c: Array, scale: Any) -> Array:
        return c * scale


class SmoothL1Loss(ElementwiseLoss):
    """Absolute error with its corner rounded: `HuberLoss` with delta = beta, over beta.

    With d = s − t and c = d, clipped to [−beta, beta], over beta: ℓ = c (d − beta c/2), that is
    d²/(2 beta) where abs(d) < beta, else abs(d) − beta/2; dℓ/ds = c. With beta = 0 it is `L1Loss`.

    Args:
        reduction: "mean" over all numbers, "sum", or "none" for the array of the ℓ.
        beta: half the width of what is rounded.

    Shapes: scores s and target t (N, …), equal; t of any real dtype. The result has the scores'
    dtype. `sample_weight` (N,) weighs the samples. Source: Girshick, "Fast R-CNN", 2015.
    """

    def __init__(self, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        self.beta = number("beta", beta)

    def constants(self, scores: Array) -> tuple[float, ...]:
        # Below what the dtype tells from 0 it is 0: (s − t) / beta would be 0 / 0.
        least = float(backend_of(scores).xp.finfo(scores.dtype).smallest_normal)
        return (self.beta if self.beta >= least else 0.0,)

    @staticmethod
    def formula(xp: Any, s: Array, t: Array, beta: float) -> tuple[Array, Array]:
        d = s - t
        c = _clipped(xp, d, beta) / beta if beta > 0.0 else xp.sign(d)
        return c * (d - (0.5 * beta) * c), c

    @staticmethod
    def gradient(xp: Any, c: Array, scale: Any) -> Array:
        return c * scale


def _clipped(xp: Any, d: Array, bound: float) -> Array:
    # Arrays, not the number: NumPy compares two arrays several times as fast.
    bounds = xp.full_like(d, bound)
    return xp.minimum(xp.maximum(d, -bounds), bounds)
