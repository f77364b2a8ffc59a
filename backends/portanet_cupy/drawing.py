"""Random numbers drawn on the device: bit for bit those of the host; `random.cu` says how."""

from typing import Any

from portanet.backend import Key, Shape
from portanet_cupy import compiler


def uniform(xp: Any, key: Key, shape: Shape, dtype: str, first: int = 0) -> Any:
    """Return numbers uniform in [0, 1) for samples (N, F); see `portanet.random.Key.samples`.

    In memory they are (F, N), the batch innermost.
    """
    n, f = shape
    blocks = -(-f // (8 if dtype == "float32" else 4))
    out = xp.empty((f, n), dtype=getattr(xp, dtype))
    words = key.number().to_bytes(16, "little")
    halves = (int.from_bytes(words[at : at + 8], "little", signed=True) for at in (0, 8))
    run = compiler.kernel(compiler.source("random.cu"), "uniform", compiler.options(dtype))
    run(compiler.grid(blocks * n), (compiler.THREADS,), (out, *halves, first, blocks, f, n))
    return out.T
