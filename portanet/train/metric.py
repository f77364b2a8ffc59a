"""Metrics: numbers that are watched but not trained on."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from math import prod
from typing import Any

from portanet.backend import Array, backend_of, dtype_name
from portanet.checks import listed
from portanet.nn.class_loss import indices
from portanet.nn.loss import Loss

Metric = Callable[[Array, Array], Any]


def accuracy(
    scores: Array, target: Array, ignore_index: int | None = None
) -> Array | tuple[Array, Array]:
    """Return 1 where the largest score is at the target's class, else 0.

    Shapes: scores (N, K, d₁, …) with K ≥ 2; target (N, d₁, …) class indices or, of the scores'
    shape, one-hot or soft, of any real dtype or boolean; the result (N, d₁, …) in the scores'
    dtype. Of equal scores, the first counts as the largest. With `ignore_index` the result for
    class indices comes with what counts: all other labels.
    """
    xp = backend_of(scores, target).xp
    if scores.ndim < 2 or scores.shape[1] < 2:
        raise ValueError(
            "accuracy needs scores of shape (N, K, …) with K ≥ 2 classes, "
            f"got {tuple(scores.shape)}; metrics=() reports none"
        )
    shape, got = tuple(scores.shape), tuple(target.shape)
    one = shape[:1] + shape[2:]
    if got == one:
        labels = indices(xp, target)
        if labels is None:
            raise TypeError(f"accuracy: class indices must be integers, got {dtype_name(target)}")
    elif got == shape:  # booleans have no largest
        target = xp.astype(target, xp.int8) if target.dtype == xp.bool else target
        labels, ignore_index = xp.argmax(target, axis=1), None
    else:
        raise ValueError(f"accuracy: expected target of shape {one} or {shape}, got {got}")
    right = xp.argmax(scores, axis=1) == labels
    if ignore_index is None:
        return xp.astype(right, scores.dtype)
    counted = labels != ignore_index
    return xp.astype(right & counted, scores.dtype), counted


METRICS: dict[str, Metric] = {"accuracy": accuracy}


# What a history records beside the metrics.
RESERVED = {"loss", "lr", "normalizer", "samples", "samples_per_second", "seconds"}


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

    The accuracy does not count the labels that the loss ignores.
    """
    chosen: dict[str, Metric] = {}
    for metric in [metrics] if isinstance(metrics, str) else listed("metrics", metrics):
        name, function = named(metric)
        ignored = getattr(loss, "ignore_index", None)
        if function is accuracy and ignored is not None:
            function = partial(accuracy, ignore_index=ignored)
        if name in RESERVED or name.startswith("val_") or name in chosen:
            raise ValueError(f"metrics: the name {name!r} is taken; give the function another")
        chosen[name] = function
    return chosen


def named(metric: str | Metric) -> tuple[str, Metric]:
    """Return a metric with the name that it is reported under.

    A metric of one's own is a function ``metric(scores, target)``, reported as its mean under its
    ``__name__``. It returns a number for each sample (N,), or for each position of its scores (N,
    d₁, …), or a pair of that and an array of booleans that says which of them count.
    """
    if callable(metric):
        return getattr(metric, "__name__", type(metric).__name__), metric
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}; known are {', '.join(METRICS)}")
    return metric, METRICS[metric]


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
