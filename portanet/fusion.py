"""Element-wise formulas, each as one kernel.

What a formula does is written down by running it on stand-ins for arrays; see `tracing`. The
numbers in it (rates, corrections that change from step to step) are arguments of the kernel, so its
lines are the same in the next step, and it is compiled once. A formula of which no kernel can be
made runs on the arrays as it is.
"""

from collections.abc import Callable, Hashable, Iterable
from functools import cache, lru_cache
from typing import Any, NamedTuple

from portanet.tracing import Functions, Items, Line, Trace, Traced

Back = Callable[[Any], Any]


class Kernel(NamedTuple):
    """A formula as lines on arrays x0 …, and on numbers n0 …; what it changes and what it makes."""

    lines: tuple[Line, ...]
    arrays: int
    numbers: int
    changed: tuple[int, ...]  # which arrays
    result: str | None  # the word for the elements of a new array


class Written(NamedTuple):
    """What a formula does with certain arguments: a kernel, and the numbers for it."""

    kernel: Kernel
    numbers: tuple[float, ...]


Launch = Callable[[list[list[Any]], tuple[float, ...]], None]


class Job(NamedTuple):
    """A kernel, what runs it, and on what."""

    kernel: Kernel
    launch: Launch
    arrays: list[Any]
    numbers: tuple[float, ...]


class Fusion:
    """How a backend runs formulas as kernels: it serves some arrays, and makes kernels for them."""

    def __init__(self, xp: Any) -> None:
        self.xp = xp

    def serves(self, array: Any) -> bool:
        """Say whether kernels serve arrays of this dtype and size."""
        raise NotImplementedError

    def made(self, kernel: Kernel, dtype: str) -> Launch:
        """Return what runs a kernel on several rows of arrays, with the same numbers.

        A row's elements lie in one order; the new array, if any, is its last. Raises KeyError for
        an operation that kernels here have not.
        """
        raise NotImplementedError

    def fused(self, formula: Callable[..., Any]) -> Callable[..., Any]:
        """Return a formula that runs as one kernel, where it can; see `Kernels.fused`.

        It can, where it takes arrays of one shape and dtype, by themselves or in dicts, changes
        some in place or returns a new one. Its other arguments may decide what it does, the arrays'
        values not.
        """

        def run(*arguments: Any) -> Any:
            job = self._job(formula, arguments)
            if job is None:
                return formula(*arguments)
            job.launch([job.arrays], job.numbers)
            return job.arrays[-1] if job.kernel.result else None

        return run

    def fused_each(self, formula: Callable[..., None], calls: Iterable[tuple[Any, ...]]) -> None:
        """Run a formula with each of the arguments: equal kernels in one launch."""
        together: dict[Any, list[Job]] = {}
        for arguments in calls:
            job = self._job(formula, arguments)
            if job is None:
                formula(*arguments)
            else:
                key = job.kernel, job.numbers, job.arrays[0].dtype
                together.setdefault(key, []).append(job)
        for jobs in together.values():
            jobs[0].launch([job.arrays for job in jobs], jobs[0].numbers)

    def _job(self, formula: Callable[..., Any], arguments: tuple[Any, ...]) -> "Job | None":
        """Return what is to be run for a formula, or None where it runs as it is."""
        for first in arguments:
            if isinstance(first, self.xp.ndarray):
                break
        else:
            return None
        if not self.serves(first):
            return None
        arrays: list[Any] = []
        try:
            outlines = tuple(outline(a, self.xp, arrays) for a in arguments)
            kernel, numbers = written(formula, outlines)
            launch = self.made(kernel, str(first.dtype))
            return Job(kernel, launch, aligned(self.xp, arrays, kernel), numbers)
        except Exception:  # an error that is the formula's own comes again, from the formula
            return None

    def elementwise(
        self, formula: Callable[..., Any], back: Callable[..., Any], *arguments: Any
    ) -> tuple[Any, Back]:
        """Return a formula's value and its pullback, as one kernel each, where they can be.

        See `Kernels.elementwise`. A kernel waits for memory, and has time to compute again: the
        pullback keeps the arguments, or the value, where it needs no more, and makes the rest anew.
        """
        xp = self.xp
        y = self.fused(value_of(formula))(xp, *arguments)
        if keeps_value(formula, tuple(outline(a, xp, []) for a in (xp, *arguments))):
            run = self.fused(back)
            return y, lambda dy: run(xp, y, dy)
        run = self.fused(pullback_of(formula, back))
        return y, lambda dy: run(xp, *arguments, dy)


@cache  # one function for each formula, by which what is written down is found again
def value_of(formula: Callable[..., Any]) -> Callable[..., Any]:
    """Return the formula of y alone."""

    def value(*arguments: Any) -> Any:
        return formula(*arguments)[0]

    return value


@cache
def pullback_of(formula: Callable[..., Any], back: Callable[..., Any]) -> Callable[..., Any]:
    """Return the formula of the pullback that makes what it needs from the arguments."""

    def pullback(xp: Any, *arguments: Any) -> Any:
        *given, dy = arguments
        _, *kept = formula(xp, *given)
        return back(xp, *kept, dy)

    return pullback


@lru_cache(maxsize=256)
def keeps_value(formula: Callable[..., Any], arguments: tuple[Hashable, ...]) -> bool:
    """Say whether a formula keeps its value and nothing else."""
    trace = Trace()
    try:
        y, *kept = formula(*map(trace.stand_in, arguments))
    except Exception:  # it cannot be written down
        return False
    return len(kept) == 1 and kept[0] is y


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
    if not (result is None or (isinstance(result, Traced) and result.name[0] == "t")):
        raise TypeError("the formula returns something else than one new array")
    kernel = Kernel(
        tuple(trace.lines),
        trace.arrays,
        len(trace.numbers),
        tuple(sorted(trace.changed)),
        None if result is None else result.name,
    )
    return Written(kernel, tuple(trace.numbers))


def aligned(xp: Any, arrays: list[Any], kernel: Kernel) -> list[Any]:
    """Return the arrays with their elements in one order in memory, and the result's after them.

    It is the order of what is changed, or of the first: what comes in another is copied. Raises
    ValueError where there is none, or a kernel cannot work on them.
    """
    first = arrays[kernel.changed[0] if kernel.changed else 0]
    if any(a.shape != first.shape or a.dtype != first.dtype for a in arrays):
        raise ValueError("the arrays differ in shape or dtype")
    if len(set(map(id, arrays))) < len(arrays):
        raise ValueError("what is done to one of the arrays is done to another")
    order = steps(first)
    if not is_block(first) or any(steps(arrays[k]) != order for k in kernel.changed):
        raise ValueError("what is changed lies in another order in memory")
    ordered = [a if steps(a) == order else copied(xp, a, first) for a in arrays]
    return [*ordered, xp.empty_like(first)] if kernel.result else ordered


def copied(xp: Any, array: Any, model: Any) -> Any:
    """Return an array's elements in another's order in memory."""
    copy = xp.empty_like(model)
    copy[...] = array
    return copy


def steps(array: Any) -> list[tuple[int, int]]:
    """Return the stride and the length of each axis along which there are steps to take."""
    axes = zip(array.strides, array.shape, strict=True)
    return [(stride, length) for stride, length in axes if length > 1]


def is_block(array: Any) -> bool:
    """Say whether an array's elements fill its memory, with its axes in any order."""
    step = array.itemsize
    for stride, length in sorted(steps(array)):
        if stride != step:
            return False
        step *= length
    return True
