"""Metrics: numbers that are watched but not trained on."""

from collections.abc import Callable, Iterable, Sequence

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


# What a history records beside the metrics.
RESERVED = {"loss", "lr", "normalizer", "samples", "samples_per_second", "seconds"}


def total(name: str, metric: Metric, scores: Array, target: Array) -> Array:
    """Return a metric's sum over the samples, or raise ValueError where it is not one a sample."""
    values = metric(scores, target)
    if tuple(values.shape) != (scores.shape[0],):
        raise ValueError(
            f"metric {name!r}: expected one value for each sample, shape ({scores.shape[0]},), "
            f"got shape {tuple(values.shape)}"
        )
    return backend_of(scores).xp.sum(values)


def by_name(metrics: str | Sequence[str | Metric]) -> dict[str, Metric]:
    """Return metrics by the names that they are reported under, each of which must be its own."""
    chosen: dict[str, Metric] = {}
    for metric in [metrics] if isinstance(metrics, str) else metrics:
        name, function = named(metric)
        if name in RESERVED or name.startswith("val_") or name in chosen:
            raise ValueError(f"metrics: the name {name!r} is taken; give the function another")
        chosen[name] = function
    return chosen


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


def recorded(metrics: Iterable[str], validated: bool, monitor: str) -> tuple[str, ...]:
    """Return what a run's epochs record; raise ValueError where `monitor` should be among it."""
    names = ("loss", *metrics)
    if validated:
        names += tuple(f"val_{name}" for name in names)
        if monitor not in names:
            raise ValueError(f"monitor {monitor!r} is none of {', '.join(names)}")
    return names
