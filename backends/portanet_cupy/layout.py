"""Arrays with the batch innermost in memory: neighboring threads take neighboring samples."""

from typing import Any


def batch_last(xp: Any, x: Any) -> Any:
    """Return x (N, C, …) as (C, …, N), contiguous; no copy where its memory is so already."""
    return xp.ascontiguousarray(xp.permute_dims(x, (*range(1, x.ndim), 0)))


def batch_first(xp: Any, x: Any) -> Any:
    """View (C, …, N) as (N, C, …)."""
    return xp.permute_dims(x, (x.ndim - 1, *range(x.ndim - 1)))
