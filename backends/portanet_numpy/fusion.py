"""Element-wise formulas as loops that Numba compiles, where it is installed.

NumPy runs a formula operation by operation, each a pass over memory; a loop takes each number once.
Only operations that every processor rounds in the same way are put into loops (not `exp`, which
NumPy computes several at once, and faster): so Numba changes the time, and not a bit of the result.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

from portanet.fusion import Fusion, Kernel, Launch

# Elements of an array. Below, a pass is cheap, for the arrays are in the cache: writing down what
# the step's numbers make of a formula costs as much as the loop saves.
LEAST = 1 << 17

FORM = "{name} = {value}"
OPERATIONS = {
    "copy": "{}",
    "negative": "-{}",
    "sqrt": "sqrt({})",
    "abs": "abs({})",
    "maximum": "{0} if {0} >= {1} or {0} != {0} else {1}",
    "minimum": "{0} if {0} <= {1} or {0} != {0} else {1}",
    "where": "{1} if {0} else {2}",
    "astype": "real({})",
}


class Loops(Fusion):
    """Formulas as loops over NumPy's arrays."""

    def serves(self, array: Any) -> bool:
        """Say whether an array is worth a loop."""
        return array.size >= LEAST and numba() is not None

    def made(self, kernel: Kernel, dtype: str) -> Launch:
        """Return what runs a kernel's loop, which is compiled at the first call."""
        loop, real = compiled(kernel, dtype), getattr(self.xp, dtype)

        def run(rows: list[list[Any]], numbers: tuple[float, ...]) -> None:
            for arrays in rows:
                loop(*map(flat, arrays), *map(real, numbers))

        return run


def flat(array: Any) -> Any:
    """View a block of memory as one axis."""
    return array.ravel(order="K")


@cache
def numba() -> Any:
    """Return the library, or None where it is not installed or does not go with this NumPy."""
    try:
        import numba
    except ImportError:
        return None
    return numba


@cache
def compiled(kernel: Kernel, dtype: str) -> Callable[..., None]:
    """Return a kernel's loop over one-dimensional arrays, in machine code."""
    import numpy as np

    names: dict[str, Any] = {"sqrt": np.sqrt, "real": getattr(np, dtype)}
    exec(source(kernel), names)
    # nogil: other threads go on meanwhile. By default nothing is fused into multiply-adds.
    return numba().njit(names["loop"], nogil=True, error_model="numpy")  # type: ignore[no-any-return]


def source(kernel: Kernel) -> str:
    """Return the loop as Python."""
    every = [f"x{k}" for k in range(kernel.arrays)]
    stored = {f"x{k}": f"x{k}" for k in kernel.changed}
    if kernel.result:
        stored["result"] = kernel.result
    arrays = [f"all_{x}" for x in [*every, *["result"] * bool(kernel.result)]]
    numbers = [f"n{k}" for k in range(kernel.numbers)]
    body = [f"{x} = all_{x}[i]" for x in every]
    body += [line.put(FORM, OPERATIONS) for line in kernel.lines]
    body += [f"all_{x}[i] = {word}" for x, word in stored.items()]
    head = f"def loop({', '.join([*arrays, *numbers])}):\n    for i in range({arrays[0]}.size):\n"
    return head + "".join(f"        {line}\n" for line in body)
