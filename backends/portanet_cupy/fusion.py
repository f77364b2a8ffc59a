"""Element-wise formulas, each as one kernel.

What a formula does is written down by running it on stand-ins for arrays; see `tracing`. The
numbers in it (rates, corrections that change from step to step) are arguments of the kernel, so its
text is the same in the next step, and it is compiled once. A formula of which no kernel can be made
runs on the arrays as it is.
"""

from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Any, NamedTuple

from portanet_cupy import compiler
from portanet_cupy.tracing import Functions, Items, Trace, Traced


class Written(NamedTuple):
    """A formula as a kernel: its text, the numbers in it, and what comes of it."""

    source: str
    numbers: tuple[float, ...]
    changed: tuple[int, ...]  # the places of the arrays that it changes
    returns: bool  # whether it makes a new array


def fused(xp: Any, formula: Callable[..., Any]) -> Callable[..., Any]:
    """Return a formula that runs as one kernel, where it can; see `Kernels.fused`.

    It can, where it takes arrays of one shape and dtype, by themselves or in dicts, changes some in
    place or returns a new one. Its other arguments may decide what it does, the arrays' values not.
    """

    def run(*arguments: Any) -> Any:
        arrays: list[Any] = []
        try:
            kernel = written(formula, tuple(outline(a, xp, arrays) for a in arguments))
            arrays = aligned(xp, arrays, kernel)
        except Exception:  # an error that is the formula's own comes again
            return formula(*arguments)
        return launch(xp, kernel, arrays)

    return run


def outline(argument: Any, xp: Any, arrays: list[Any]) -> Any:
    """Return an argument with `Traced` in the place of arrays, which are appended to `arrays`."""
    if isinstance(argument, dict):
        return Items((key, outline(value, xp, arrays)) for key, value in argument.items())
    if isinstance(argument, xp.ndarray):
        arrays.append(argument)
        return Traced
    return Functions if argument is xp else argument


@lru_cache(maxsize=256)  # of each step's numbers; all parameters share them
def written(formula: Callable[..., Any], arguments: tuple[Hashable, ...]) -> Written:
    """Return what a formula does with these arguments; raises anything where no kernel can."""
    trace = Trace()
    given = [trace.stand_in(argument) for argument in arguments]
    before = [dict(g) if isinstance(g, dict) else g for g in given]
    result = formula(*given)
    if given != before:
        raise TypeError("the formula puts arrays into a dict")
    source, changed = trace.source(result), tuple(sorted(trace.changed))
    return Written(source, tuple(trace.numbers), changed, result is not None)


def aligned(xp: Any, arrays: list[Any], kernel: Written) -> list[Any]:
    """Return the arrays with their elements in one order in memory, and the result's after them.

    Raises ValueError where there is none, or a kernel cannot work on them.
    """
    first = arrays[0]
    if str(first.dtype) not in compiler.REALS:
        raise ValueError(f"kernels compute in {', '.join(compiler.REALS)}")
    if any(a.shape != first.shape or a.dtype != first.dtype for a in arrays):
        raise ValueError("the arrays differ in shape or dtype")
    if len(set(map(id, arrays))) < len(arrays):
        raise ValueError("what is done to one of the arrays is done to another")
    made = [xp.empty_like(first)] if kernel.returns else []
    if is_block(first) and all(a.strides == first.strides for a in [*arrays, *made]):
        return arrays + made
    if made or not all(arrays[k].flags.c_contiguous for k in kernel.changed):
        raise ValueError("what is made, or changed, lies in another order in memory")
    return [xp.ascontiguousarray(a) for a in arrays]


def is_block(array: Any) -> bool:
    """Say whether an array's elements fill its memory, with its axes in any order."""
    step = array.itemsize
    for stride, length in sorted(zip(array.strides, array.shape, strict=True)):
        if stride != step:
            return False
        step *= length
    return True


def launch(xp: Any, kernel: Written, arrays: list[Any]) -> Any:
    """Run a formula's kernel on arrays, and return the result."""
    size, options = arrays[0].size, compiler.options(str(arrays[0].dtype))
    run = compiler.kernel(kernel.source, "formula", options)
    run(compiler.grid(size), (compiler.THREADS,), (*arrays, *kernel.numbers, size))
    return arrays[-1] if kernel.returns else None
