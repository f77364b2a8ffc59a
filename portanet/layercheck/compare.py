"""How the numbers of two runs compare, and how an error is told in one line."""

import inspect
import traceback
from pathlib import Path
from typing import Any

from portanet.backend import Array
from portanet.layercheck.report import Failed
from portanet.nn.layer import Layer

Results = dict[str, Array]  # by name: "y", "dx", "gradient of weight", "new running_mean"


def agree(xp: Any, got: Results, expected: Results, hint: str, rtol: float = 1e-9) -> None:
    """Raise Failed with the first numbers in which two runs on the host differ, and the hint.

    Differences below rtol times the largest number of all are taken for noise.
    """
    if got.keys() != expected.keys():
        raise Failed(f"there are {', '.join(got)}; expected {', '.join(expected)}: {hint}")
    sizes = [float(xp.max(xp.abs(b))) for b in expected.values() if b.size]
    noise = rtol * max(sizes, default=0.0)
    for name, b in expected.items():
        a = got[name]
        if a.shape != b.shape:
            raise Failed(f"{name} has shape {a.shape}, expected {b.shape}: {hint}")
        off = ~((xp.abs(a - b) <= noise) | (a == b) | ((a != a) & (b != b)))
        if bool(xp.any(off)):
            index = tuple(int(i[0]) for i in xp.nonzero(off)) if off.ndim else ()
            raise Failed(f"{spot(name, index)} is {a[index]:.6g}, expected {b[index]:.6g}: {hint}")


def spot(name: str, index: tuple[int, ...]) -> str:
    """Name an element of an array."""
    return f"{name}{list(index)}" if index else name


def one_line(error: BaseException) -> str:
    """Return an error's kind and message."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def explain(error: Exception, layer: Layer) -> str:
    """Return an error as one line, with the deepest line of the layer's own files on its way."""
    parts: list[Any] = [part for _, part in layer.named_layers()]
    own = [type(part).vjp for part in parts if type(part).vjp is not Layer.vjp]
    files = {inspect.getfile(inspect.unwrap(function)) for function in own}
    crossed = [f for f in traceback.extract_tb(error.__traceback__) if f.filename in files]
    if not crossed:
        return one_line(error)
    at = crossed[-1]
    return f"{one_line(error)}; {Path(at.filename).name}, line {at.lineno}: {at.line}"
