"""Metrics: numbers that are watched but not trained on."""

from collections.abc import Callable

from portanet.backend import Array, backend_of

Metric = Callable[[Array, Array], Array]


def accuracy(scores: Array, target: Array) -> Array:
    """Return 1 where the largest score is at the target's class, else 0.

    Shapes: scores (N, K) with K ≥ 2; target (N,) class indices or (N, K) one-hot or soft; the
    result (N,) in the scores' dtype. Of equal scores, the first counts as the largest.
    """
    xp = backend_of(scores, target).xp
    if scores.ndim != 2 or scores.shape[1] < 2:
        raise ValueError(
            f"accuracy needs scores of shape (N, K) with K ≥ 2 classes, got {tuple(scores.shape)}; "
            "metrics=() reports none"
        )
    if target.ndim == 2:
        target = xp.argmax(target, axis=1)
    return xp.astype(xp.argmax(scores, axis=1) == target, scores.dtype)


METRICS: dict[str, Metric] = {"accuracy": accuracy}


def named(metric: str | Metric) -> tuple[str, Metric]:
    """Return a metric with the name that it is reported under.

    A metric of one's own is a function ``metric(scores, target) -> (N,)``, reported as its mean
    over the samples under its ``__name__``.
    """
    if callable(metric):
        return getattr(metric, "__name__", type(metric).__name__), metric
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}; known are {', '.join(METRICS)}")
    return metric, METRICS[metric]
