"""By what scores are judged: how many are right, how far they are off; a number for each sample."""

from typing import Any

from portanet.backend import Array, backend_of, dtype_name
from portanet.checks import CheckedOptions, integer
from portanet.nn.class_loss import indices

Judged = Array | tuple[Array, Array]  # alone, or with what counts


def accuracy(scores: Array, target: Array, ignore_index: int | None = None) -> Judged:
    """Return 1 where the largest score is at the target's class, else 0.

    Shapes: scores (N, K, d₁, …) with K ≥ 2; target (N, d₁, …) class indices or, of the scores'
    shape, one-hot or soft, of any real dtype or boolean; the result (N, d₁, …) in the scores'
    dtype. Of equal scores, the first counts as the largest. With `ignore_index` the result for
    class indices comes with what counts: all other labels.

    By the name ``"accuracy"`` a Trainer takes `binary_accuracy` where the loss is of decisions.
    """
    xp = backend_of(scores, target).xp
    if scores.ndim < 2 or scores.shape[1] < 2:
        raise ValueError(
            "accuracy needs scores of shape (N, K, …) with K ≥ 2 classes, "
            f"got {tuple(scores.shape)}; binary_accuracy is for one column, metrics=() reports none"
        )
    labels, ignore_index = _labels("accuracy", scores, target, ignore_index)
    return _counted(xp, xp.argmax(scores, axis=1) == labels, scores, labels, ignore_index)


class TopKAccuracy(metaclass=CheckedOptions):
    """1 where fewer than k scores are above that of the target's class, else 0.

    Reported as ``"top_5_accuracy"``, with the k that it has.

    Args:
        k: among how many of the largest scores the target's may be.

    Shapes, labels and dtypes are those of `accuracy`, which is that of k = 1; the scores have more
    than k classes. Of equal scores the first counts as the larger.
    """

    def __init__(self, k: int = 5) -> None:
        self.k = integer("k", k)
        self.__name__ = f"top_{self.k}_accuracy"

    def __call__(self, scores: Array, target: Array, ignore_index: int | None = None) -> Judged:
        """Return the numbers (N, d₁, …), with `ignore_index` together with what counts."""
        xp = backend_of(scores, target).xp
        if scores.ndim < 2 or scores.shape[1] <= self.k:
            raise ValueError(
                f"{self!r} needs scores of shape (N, K, …) with more than {self.k} classes, "
                f"got {tuple(scores.shape)}"
            )
        labels, ignore_index = _labels(self.__name__, scores, target, ignore_index)
        last = scores.shape[1] - 1
        # Ignored labels need not be indices; where others are not, the loss says so.
        own = xp.minimum(xp.maximum(labels, 0), last)[:, None, ...]
        of_own = xp.take_along_axis(scores, own, axis=1)
        classes = xp.arange(last + 1, dtype=xp.int64, device=scores.device)
        classes = xp.reshape(classes, (-1, *(1,) * (scores.ndim - 2)))
        above = (scores > of_own) | ((scores == of_own) & (classes < own))
        right = xp.count_nonzero(above, axis=1) < self.k
        return _counted(xp, right, scores, labels, ignore_index)


def binary_accuracy(scores: Array, target: Array) -> Array:
    """Return which share of a sample's decisions is right: score > 0 where target > ½.

    Scores are logits, as `BCEWithLogitsLoss` takes them: 0 is the probability ½.

    Shapes: scores and target (N, …), equal; the target of any real dtype or boolean, 0 or 1, or
    smoothed. The result, (N,) or for scores (N, K, d₁, …) the mean over K, (N, d₁, …), has the
    scores' dtype.
    """
    xp, target = _alike("binary_accuracy", scores, target)
    right = (scores > 0) == (target > 0.5)
    return _by_sample(xp, xp.astype(right, scores.dtype))


def mae(scores: Array, target: Array) -> Array:
    """Return the mean absolute error of each sample: |s − t|.

    Shapes: as of `binary_accuracy`.
    """
    xp, target = _alike("mae", scores, target)
    return _by_sample(xp, xp.abs(scores - target))


def mse(scores: Array, target: Array) -> Array:
    """Return the mean squared error of each sample: (s − t)².

    Shapes: as of `binary_accuracy`.
    """
    xp, target = _alike("mse", scores, target)
    d = scores - target
    return _by_sample(xp, d * d)


def _labels(
    who: str, scores: Array, target: Array, ignore_index: int | None
) -> tuple[Array, int | None]:
    """Return class indices, and which of them is ignored: none of a distribution's."""
    xp = backend_of(scores).xp
    shape, got = tuple(scores.shape), tuple(target.shape)
    one = shape[:1] + shape[2:]
    if got == one:
        labels = indices(xp, target)
        if labels is None:
            raise TypeError(f"{who}: class indices must be integers, got {dtype_name(target)}")
        return labels, ignore_index
    if got != shape:
        raise ValueError(f"{who}: expected target of shape {one} or {shape}, got {got}")
    # booleans have no largest
    target = xp.astype(target, xp.int8) if target.dtype == xp.bool else target
    return xp.argmax(target, axis=1), None


def _counted(
    xp: Any, right: Array, scores: Array, labels: Array, ignore_index: int | None
) -> Judged:
    if ignore_index is None:
        return xp.astype(right, scores.dtype)
    counted = labels != ignore_index
    return xp.astype(right & counted, scores.dtype), counted


def _alike(who: str, scores: Array, target: Array) -> tuple[Any, Array]:
    """Return the namespace, and the target in the scores' dtype."""
    xp, shape, got = backend_of(scores, target).xp, tuple(scores.shape), tuple(target.shape)
    if shape != got:
        raise ValueError(f"{who}: expected target of the scores' shape {shape}, got {got}")
    return xp, xp.astype(target, scores.dtype, copy=False)


def _by_sample(xp: Any, values: Array) -> Array:
    if values.ndim < 2:
        return values
    # The mean of one column would take longer than all the rest.
    return values[:, 0, ...] if values.shape[1] == 1 else xp.mean(values, axis=1)
