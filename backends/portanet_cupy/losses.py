"""Softmax and cross-entropy as one kernel; `losses.cu` says how it works."""

from collections.abc import Callable
from math import prod
from typing import Any

from portanet_cupy import compiler
from portanet_cupy.layout import batch_first, batch_last

# Classes that one thread walks through. Beyond, the generic version's reductions, in which threads
# share a sample, have more to do at once.
MOST = 64


def serves(scores: Any, t: Any) -> bool:
    """Say whether the kernel serves such scores (N, K, …)."""
    same = scores.dtype == t.dtype and scores.shape == t.shape
    return same and str(scores.dtype) in compiler.REALS and 0 < scores.shape[1] <= MOST


def cross_entropy(xp: Any, scores: Any, t: Any, each: bool) -> tuple[Any, Callable[[], Any]]:
    """Return the losses and their gradient, made together; see `Kernels.cross_entropy`."""
    ordered, probabilities = batch_last(xp, scores), batch_last(xp, t)
    classes, *inner = ordered.shape
    losses, d = xp.empty(tuple(inner), dtype=scores.dtype), xp.empty_like(ordered)
    run = compiler.kernel(
        compiler.source("losses.cu"), "cross_entropy", compiler.options(str(scores.dtype))
    )
    count = prod(inner)
    arrays = (ordered, probabilities, losses, d)
    run(compiler.grid(count), (compiler.THREADS,), (*arrays, classes, count))
    value = batch_first(xp, losses) if each else xp.sum(losses)
    return value, lambda: batch_first(xp, d.copy())  # the caller may write into it
