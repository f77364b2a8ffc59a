"""What losses share whose targets are classes: their weights, ignored labels, the mean."""

from math import prod
from numbers import Real
from typing import Any, ClassVar

from portanet.backend import Array, backend_of, dtype_name
from portanet.checks import integer
from portanet.nn.fixed import Fixed, Weighted
from portanet.nn.loss import Loss, by_sample, reduction_named


class ClassLoss(Weighted, Loss):
    """A loss −Σ t log p over samples and classes, where t holds all that weighs a term.

    Scores are (N, K, d₁, …), class indices (N, d₁, …). As in PyTorch, the dtype of a target says
    what it holds: integers are class indices, floating-point numbers probabilities.
    """

    metrics = ("accuracy",)
    takes_probabilities = False  # whether a target may hold them
    label_smoothing = 0.0
    weight: Fixed | None
    weighted: ClassVar = {"weight": 1}

    def __init__(
        self, weight: Any = None, ignore_index: int = -100, reduction: str = "mean"
    ) -> None:
        self.weight = weight
        self.ignore_index = integer("ignore_index", ignore_index, least=-(2**63))
        self.reduction = reduction_named(reduction)

    def _terms(
        self,
        xp: Any,
        scores: Array,
        target: Array,
        sample_weight: Array | None,
        normalizer: float | Array | None,
    ) -> Array:
        """Return t, of the scores' shape and dtype: p, weighted and divided by the normalizer."""
        labels = self._labels(xp, tuple(scores.shape), target)
        ndim, k, smoothing = scores.ndim, scores.shape[1], self.label_smoothing
        if labels is None:
            t = xp.astype(target, scores.dtype, copy=False)
        else:
            classes = xp.arange(k, dtype=xp.int64, device=scores.device)
            # Made with the classes first, which is the order of a Linear's output in memory.
            hits = classes[:, *(None,) * labels.ndim] == labels
            t = xp.astype(xp.permute_dims(hits, (1, 0, *range(2, ndim))), scores.dtype)
        if smoothing > 0.0:
            t = (1.0 - smoothing) * t + smoothing / k
        if labels is not None and (smoothing > 0.0 or 0 <= self.ignore_index < k):
            t = t * xp.astype(labels != self.ignore_index, scores.dtype)[:, None, ...]
        if self.weight is not None:
            if self.weight.shape != (k,):
                got = self.weight.shape[0]
                self._fail(f"the scores have {k} columns, but there are {got} class weights")
            weight = self.weight.on(backend_of(scores), scores.dtype)
            t = t * xp.reshape(weight, (k, *(1,) * (ndim - 2)))
        weights, divisor = self._weighting(xp, scores, target, sample_weight, normalizer)
        return t / divisor if weights is None else t * weights

    def _labels(self, xp: Any, shape: tuple[int, ...], target: Array) -> Array | None:
        """Return class indices as int64, or None where the target holds probabilities.

        `shape` is the scores'. Raises ValueError or TypeError for other targets.
        """
        if len(shape) < 2:
            self._fail(f"expected scores of shape (N, K, …), got {shape}")
        got, expected = tuple(target.shape), (shape[0], *shape[2:])
        labels = indices(xp, target)
        if got == expected and labels is not None:
            return labels
        if got == expected:
            self._fail(f"class indices must be integers, got {dtype_name(target)}", TypeError)
        if got != shape or not self.takes_probabilities:
            probabilities = f" or {shape}" if self.takes_probabilities else ""
            remedy = "; target[..., 0] has it" if got == (*expected, 1) else ""
            self._fail(f"expected target of shape {expected}{probabilities}, got {got}{remedy}")
        if labels is not None or not xp.isdtype(target.dtype, "real floating"):
            self._fail(
                f"a target of the scores' shape {shape} holds probabilities, which must be "
                f"floating-point, got {dtype_name(target)}",
                TypeError,
            )
        if self.ignore_index >= 0:
            self._fail("ignore_index goes with class indices, not with probabilities")
        return None

    def _count(self, target: Array, sample_weight: Array | None) -> float | Array:
        """Return the sum of the weights of the targets that are not ignored."""
        backend = backend_of(target)
        xp, labels = backend.xp, indices(backend.xp, target)
        if labels is None:
            return super()._count(target, sample_weight) * prod(target.shape[2:])
        kept = labels != self.ignore_index
        if self.weight is None and sample_weight is None:
            return xp.count_nonzero(kept)
        dtype = backend.floats[-1]  # the widest: the scores' is not known here
        weights = xp.astype(kept, dtype)
        if self.weight is not None:
            # Ignored labels need not be indices; where others are not, `check` says so.
            last = self.weight.shape[0] - 1
            within = xp.minimum(xp.maximum(xp.reshape(labels, (-1,)), 0), last)
            weight = xp.take(self.weight.on(backend, dtype), within, axis=0)
            weights = weights * xp.reshape(weight, labels.shape)
        if sample_weight is not None:
            weights = weights * by_sample(xp, xp.astype(sample_weight, dtype), labels.ndim)
        return xp.sum(weights)

    def check(self, scores_shape: tuple[int, ...], target: Array) -> None:
        """Raise ValueError for a target of another shape, and for impossible class indices."""
        xp = backend_of(target).xp
        labels = self._labels(xp, (*target.shape[:1], *scores_shape[1:]), target)
        if labels is None:
            self._require_finite(xp, target)
        elif prod(labels.shape) > 0:
            kept = xp.where(labels == self.ignore_index, 0, labels)
            low, high, k = int(xp.min(kept)), int(xp.max(kept)), scores_shape[1]
            if low < 0 or high >= k:
                self._fail(
                    f"class indices must be in 0 … {k - 1}, as the scores have {k} columns; "
                    f"got {low if low < 0 else high} (ignore_index is {self.ignore_index})"
                )


def indices(xp: Any, target: Array) -> Array | None:
    """Return integers as int64, or None for numbers of another kind."""
    if target.dtype == xp.int64:  # at once: steps are counted in microseconds
        return target
    return xp.astype(target, xp.int64) if xp.isdtype(target.dtype, "integral") else None


def scaled(d: Array, dvalue: float | Array) -> Array:
    """Return gradients (N, K, d₁, …) times a number, or by dvalue (N, d₁, …) for each of the N."""
    if isinstance(dvalue, float | Real):  # NumPy's own, too, of which float64 would promote
        return d if dvalue == 1 else d * float(dvalue)  # it is 1 in training
    return d * (dvalue if dvalue.ndim == 0 else dvalue[:, None, ...])
