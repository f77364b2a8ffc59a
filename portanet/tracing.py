"""Element-wise formulas written down, by running them on stand-ins for arrays.

Such a formula, an optimizer's update say, is a straight line of operations once its numbers are
given. Run on stand-ins it leaves them as `Line`s, in its own order, which a backend puts into the
language of its kernels: the Python formula stays the only one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

SIGNS = {"+", "-", "*", "/", "<", "<=", ">", ">="}  # the same in every language


class Line(NamedTuple):
    """One operation: ``name = operands[0] ∘ operands[1] …``, each a word for an element."""

    kind: str  # "real" or "bool", the type of a new name; "" where the name is there already
    name: str
    operation: str  # a sign, as "+", or the word that the array API has for it
    operands: tuple[str, ...]

    def put(self, form: str, operations: Mapping[str, str]) -> str:
        """Return the line in a language, which has a form for lines and words for operations.

        Raises KeyError for an operation without words.
        """
        sign = self.operation
        words = f"{{}} {sign} {{}}" if sign in SIGNS else operations[sign]
        return form.format(kind=self.kind, name=self.name, value=words.format(*self.operands))


class Items(tuple[tuple[str, Any], ...]):
    """The items of a dict among a formula's arguments."""


class Trace:
    """What a formula does: to how many arrays, x0 …, with which numbers, n0 …, in which lines."""

    def __init__(self) -> None:
        self.arrays = 0
        self.changed: set[int] = set()
        self.numbers: list[float] = []
        self.lines: list[Line] = []
        self.xp = Functions(self)

    def stand_in(self, argument: Any) -> Any:
        """Return what the formula sees for an argument's outline."""
        if isinstance(argument, Items):
            return {key: self.stand_in(value) for key, value in argument}
        if argument is Traced:
            self.arrays += 1
            return Traced(self, f"x{self.arrays - 1}")
        return self.xp if argument is Functions else argument

    def erf(self, x: Any) -> "Traced":
        """Return the error function, which the array API lacks; see `Kernels.erf`."""
        return self.compute("erf", x)

    def word(self, value: Any) -> str:
        """Return the word for what the formula computes with."""
        if isinstance(value, Traced):
            return value.name
        if type(value) not in (int, float):  # NumPy's numbers would promote float32
            raise TypeError(f"neither an array nor a number: {value!r}")
        self.numbers.append(float(value))
        return f"n{len(self.numbers) - 1}"

    def compute(self, operation: str, *operands: Any) -> "Traced":
        """Write down an operation, and return what stands for its result."""
        return Traced(self, self.note("real", operation, *map(self.word, operands)))

    def note(self, kind: str, operation: str, *words: str) -> str:
        """Write down what a new name stands for, and return it."""
        name = f"t{len(self.lines)}"
        self.lines.append(Line(kind, name, operation, words))
        return name

    def change(self, target: "Traced", operation: str, *operands: Any) -> "Traced":
        """Write down an operation in place."""
        words = tuple(map(self.word, operands))
        self.lines.append(Line("", target.name, operation, words))
        if target.name[0] == "x":
            self.changed.add(int(target.name[1:]))
        return target


def _operators(sign: str) -> tuple[Any, Any, Any]:
    """Return the methods for ``a ∘ b`` on the left, on the right, and in place."""
    return (
        lambda self, other: self.trace.compute(sign, self, other),
        lambda self, other: self.trace.compute(sign, other, self),
        lambda self, other: self.trace.change(self, sign, self, other),
    )


def _comparison(sign: str) -> Any:
    def compare(self: "Traced", other: Any) -> "Truth":
        trace = self.trace
        return Truth(trace.note("bool", sign, self.name, trace.word(other)))

    return compare


def _truth(x: Any) -> str:
    if not isinstance(x, Truth):
        raise TypeError(f"expected what a comparison gave, got {x!r}")
    return x.name


def _impossible(self: Any, *_: Any) -> Any:
    raise TypeError("a formula must not depend on its arrays' values")


@dataclass(eq=False)
class Truth:
    """Stands for what a comparison of arrays gave: `where` and `astype` make numbers of it."""

    name: str

    __bool__ = _impossible


class Traced:
    """Stands for an array while its formula runs, and writes down what is done to it."""

    __array_ufunc__ = None  # NumPy's numbers leave arithmetic to the methods here

    def __init__(self, trace: Trace, name: str) -> None:
        self.trace, self.name = trace, name

    @property
    def portanet_backend(self) -> Trace:
        """What `backend_of` returns for it: of a backend it has `xp` and `erf` alone."""
        return self.trace

    __add__, __radd__, __iadd__ = _operators("+")
    __sub__, __rsub__, __isub__ = _operators("-")
    __mul__, __rmul__, __imul__ = _operators("*")
    __truediv__, __rtruediv__, __itruediv__ = _operators("/")
    __bool__ = __eq__ = __ne__ = __len__ = __iter__ = _impossible
    __lt__, __le__, __gt__, __ge__ = map(_comparison, ("<", "<=", ">", ">="))
    dtype = "real"  # what `astype` is told

    def __neg__(self) -> "Traced":
        return self.trace.compute("negative", self)

    def __setitem__(self, key: Any, value: Any) -> None:
        if key is not ...:
            raise TypeError("a part of an array")
        self.trace.change(self, "copy", value)


def _function(word: str, what: str) -> Any:
    def run(self: "Functions", *operands: Any) -> Traced:
        return self.trace.compute(word, *operands)

    run.__doc__ = f"Return {what}."
    return run


class Functions:
    """The functions of the array API that formulas use."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace

    sqrt = _function("sqrt", "the square root")
    exp = _function("exp", "the exponential")
    log1p = _function("log1p", "log(1 + x)")
    tanh = _function("tanh", "the hyperbolic tangent")
    abs = _function("abs", "the absolute value")
    sign = _function("sign", "−1, 0 or 1, or NaN")
    maximum = _function("maximum", "the larger one, or NaN where one is")
    minimum = _function("minimum", "the smaller one, or NaN where one is")

    def zeros_like(self, x: Any) -> Traced:
        """Return zeros."""
        return self.trace.compute("copy", 0.0)

    def full_like(self, x: Any, value: Any) -> Traced:
        """Return a number for each element."""
        return self.trace.compute("copy", value)

    def astype(self, x: Any, dtype: Any) -> Traced:
        """Return what a comparison gave as numbers, 0 or 1."""
        if dtype is not Traced.dtype:
            raise TypeError("kernels compute in one dtype")
        return Traced(self.trace, self.trace.note("real", "astype", _truth(x)))

    def where(self, x: Any, a: Any, b: Any) -> Traced:
        """Return a where a comparison holds, else b."""
        words = _truth(x), self.trace.word(a), self.trace.word(b)
        return Traced(self.trace, self.trace.note("real", "where", *words))
