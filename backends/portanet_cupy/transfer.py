"""Batches from main memory, copied on a stream of their own while the device is at earlier work.

A step is only asked for, not waited for: when the host brings a batch, the device is still at the
step before it. On the stream of that work the copy would come after it; on one of its own it goes
on beside it, and the work that follows waits for it on the device. The host waits for nothing, and
reads no batch before it is needed.

CuPy copies through pinned memory of its own, and keeps it until the copy is done. Device memory is
less safe: CuPy's pool gives a block that was freed to the next array *of the same stream*, at once,
for what a stream is asked for is done in order. A batch whose memory belonged to one stream and
whose readers run on another could so be overwritten under them. Therefore it is copied once more,
within the device, to an array of the stream that reads it: a short way beside the one that it came.
"""

from collections.abc import Callable
from functools import cache
from typing import Any


@cache
def stream(device: int) -> Any:
    """Return the stream for copies to a device: always the same, so its memory serves again."""
    import cupy

    with cupy.cuda.Device(device):
        # Others wait for the default stream, on which the work may be, and it for them.
        return cupy.cuda.Stream(non_blocking=True)


def brought(make: Callable[[Any], Any], host: Any, copies: Any) -> Any:
    """Return ``make(host)``, copied on the stream `copies`, for work on the current one."""
    import cupy

    work = cupy.cuda.get_current_stream()
    with copies:
        staged = make(host)
    work.wait_event(copies.record())
    array = staged.copy("K")
    # Only then may the next batch be written where this one is staged.
    copies.wait_event(work.record())
    return array
