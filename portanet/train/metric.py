"""Metrics: numbers that are watched but not trained on."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from inspect import signature
from math import prod
from typing import Any

from portanet.backend import Array, backend_of
from portanet.checks import listed
from portanet.nn.loss import Loss
from portanet.train.measures import accuracy, binary_accuracy, mae, mse
from portanet.words import hint

Metric = Callable[[Array, Array], Any]

METRICS: dict[str, Metric] = {f.__name__: f for f in (accuracy, binary_accuracy, mae, mse)}

# What a history records beside the metrics.
RESERVED = {"epoch", "loss", "lr", "normalizer", "samples", "samples_per_second", "seconds"}


def total(name: str, metric: Metric, scores: Array, target: Array) -> tuple[Array, float | Array]:
    """Return a metric's sum and how many numbers it is of.

    Raises ValueError where it is not one a sample, or one for each position of a sample's scores.
    """
    xp, values, counted = backend_of(scores).xp, metric(scores, target), None
    if isinstance(values, tuple) and len(values) == 2:
        values, counted = values
    shape = tuple(scores.shape)
    got = tuple(values.shape) if hasattr(values, "shape") else None
    if got not in (shape[:1], shape[:1] + shape[2:]):
        raise ValueError(
            f"metric {name!r}: expected an array with one value for each sample, shape "
            f"({shape[0]},), got {type(values).__name__ if got is None else f'shape {got}'}"
        )
    summed = xp.count_nonzero(values) if values.dtype == xp.bool else xp.sum(values)
    return summed, prod(values.shape) if counted is None else xp.count_nonzero(counted)


def by_name(metrics: str | Sequence[str | Metric], loss: Loss | None = None) -> dict[str, Metric]:
    """Return metrics by the names that they are reported under, each of which must be its own.

    ``"accuracy"`` is of decisions where the loss is. What takes an `ignore_index`, as `accuracy`
    does, does not count the labels that the loss ignores.
    """
    chosen: dict[str, Metric] = {}
    for metric in [metrics] if isinstance(metrics, str) else listed("metrics", metrics):
        name, function = named(metric)
        if metric == "accuracy" and loss is not None and "binary_accuracy" in loss.metrics:
            function = binary_accuracy
        function = _told(function, getattr(loss, "ignore_index", None))
        if name in RESERVED or name.startswith("val_") or name in chosen:
            raise ValueError(f"metrics: the name {name!r} is taken; give the function another")
        chosen[name] = function
    return chosen


def named(metric: str | Metric) -> tuple[str, Metric]:
    """Return a metric with the name that it is reported under.

    A metric of one's own is a function ``metric(scores, target)``, reported as its mean under its
    ``__name__``. It returns a number for each sample (N,), or for each position of its scores (N,
    d₁, …), or a pair of that and an array of booleans that says which of them count. One with an
    option ``ignore_index=None`` is given the loss's.
    """
    if isinstance(metric, type):
        raise TypeError(
            f"metrics: expected a function or an object, got the class {metric.__name__}"
        )
    if callable(metric):
        return getattr(metric, "__name__", type(metric).__name__), metric
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}; {hint(str(metric), METRICS)}")
    return metric, METRICS[metric]


def _told(metric: Callable[..., Any], ignored: int | None) -> Metric:
    """Return a metric that knows which label is ignored, where it asks and has not been told."""
    try:
        asked = signature(metric).parameters.get("ignore_index")
    except (TypeError, ValueError):  # of some functions in C nothing is known
        return metric
    if ignored is None or asked is None or asked.default is not None:
        return metric
    return partial(metric, ignore_index=ignored)


def recorded(
    metrics: Iterable[str], added: Iterable[str], monitor: str, validated: bool
) -> tuple[str, ...]:
    """Return what a run's epochs record; raise ValueError where `monitor` should be among it.

    `added` names what callbacks add.
    """
    names = ("loss", *metrics)
    if validated:
        names += tuple(f"val_{name}" for name in names)
    for name in added:
        if name in RESERVED or name in names:
            raise ValueError(f"callbacks: the name {name!r} in `adds` is taken")
        names += (name,)
    if validated and monitor not in names:
        raise ValueError(f"monitor {monitor!r} is none of {', '.join(names)}")
    return names
