"""Formulas written down as C, by running them on stand-ins for arrays.

An element-wise formula, such as an optimizer's update, is a straight line of operations once its
numbers are given. Run on stand-ins it leaves them as lines of C, in its own order: the Python
formula stays the only one.
"""

from typing import Any

# One thread for each element; what the formula changes in place is stored back.
SOURCE = """\
extern "C" __global__ void formula({parameters}, long long size)
{{
    const long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i >= size) return;
    {lines}
}}
"""


class Items(tuple[tuple[str, Any], ...]):
    """The items of a dict among a formula's arguments."""


class Trace:
    """What a formula does: to how many arrays, with which numbers, in which lines of C."""

    def __init__(self) -> None:
        self.arrays = 0
        self.changed: set[int] = set()
        self.numbers: list[float] = []
        self.lines: list[str] = []
        self.xp = Functions(self)

    def stand_in(self, argument: Any) -> Any:
        """Return what the formula sees for an argument's outline."""
        if isinstance(argument, Items):
            return {key: self.stand_in(value) for key, value in argument}
        if argument is Traced:
            self.arrays += 1
            return Traced(self, f"x{self.arrays - 1}")
        return self.xp if argument is Functions else argument

    def operand(self, value: Any) -> str:
        """Return C's word for what the formula computes with; a number becomes an argument."""
        if isinstance(value, Traced):
            return value.name
        if type(value) not in (int, float):  # NumPy's numbers would promote float32
            raise TypeError(f"neither an array nor a number: {value!r}")
        self.numbers.append(float(value))
        return f"(real)n{len(self.numbers) - 1}"

    def compute(self, expression: str, *operands: Any) -> "Traced":
        """Write down an operation, and return what stands for its result."""
        result = Traced(self, f"t{len(self.lines)}")
        words = map(self.operand, operands)
        self.lines.append(f"real {result.name} = {expression.format(*words)};")
        return result

    def change(self, target: "Traced", sign: str, value: Any) -> "Traced":
        """Write down an operation in place."""
        self.lines.append(f"{target.name} {sign} {self.operand(value)};")
        if target.name[0] == "x":
            self.changed.add(int(target.name[1:]))
        return target

    def source(self, result: Any) -> str:
        """Return the text of the kernel that makes a result, or None."""
        if not (result is None or (isinstance(result, Traced) and result.name[0] == "t")):
            raise TypeError("the formula returns something else than one new array")
        every = range(self.arrays)
        parameters = [f"{'' if k in self.changed else 'const '}real* all_x{k}" for k in every]
        parameters += [] if result is None else ["real* result"]
        parameters += [f"double n{k}" for k in range(len(self.numbers))]
        lines = [f"real x{k} = all_x{k}[i];" for k in every]
        lines += [*self.lines, *(f"all_x{k}[i] = x{k};" for k in sorted(self.changed))]
        lines += [] if result is None else [f"result[i] = {result.name};"]
        return SOURCE.format(parameters=", ".join(parameters), lines="\n    ".join(lines))


def _operators(sign: str) -> tuple[Any, Any, Any]:
    """Return the methods for ``a ∘ b`` on the left, on the right, and in place."""
    return (
        lambda self, other: self.trace.compute(f"{{}} {sign} {{}}", self, other),
        lambda self, other: self.trace.compute(f"{{}} {sign} {{}}", other, self),
        lambda self, other: self.trace.change(self, f"{sign}=", other),
    )


def _impossible(self: "Traced", *_: Any) -> Any:
    raise TypeError("a formula must not depend on its arrays' values")


class Traced:
    """Stands for an array while its formula runs, and writes down what is done to it."""

    __array_ufunc__ = None  # NumPy's numbers leave arithmetic to the methods here

    def __init__(self, trace: Trace, name: str) -> None:
        self.trace, self.name = trace, name

    @property
    def portanet_backend(self) -> Trace:
        """What `backend_of` returns for it: of a backend it has `xp` alone."""
        return self.trace

    __add__, __radd__, __iadd__ = _operators("+")
    __sub__, __rsub__, __isub__ = _operators("-")
    __mul__, __rmul__, __imul__ = _operators("*")
    __truediv__, __rtruediv__, __itruediv__ = _operators("/")
    __bool__ = __eq__ = __ne__ = __len__ = __iter__ = _impossible
    dtype = "real"  # what `astype` is told; a comparison gives 0 or 1

    def __gt__(self, other: Any) -> "Traced":
        return self.trace.compute("{} > {}", self, other)

    def __neg__(self) -> "Traced":
        return self.trace.compute("-{}", self)

    def __setitem__(self, key: Any, value: Any) -> None:
        if key is not ...:
            raise TypeError("a part of an array")
        self.trace.change(self, "=", value)


class Functions:
    """The functions of the array API that formulas use."""

    def __init__(self, trace: Trace) -> None:
        self.compute = trace.compute

    def sqrt(self, x: Any) -> Traced:
        """Return the square root."""
        return self.compute("sqrt({})", x)

    def abs(self, x: Any) -> Traced:
        """Return the absolute value."""
        return self.compute("fabs({})", x)

    def zeros_like(self, x: Any) -> Traced:
        """Return zeros."""
        return self.compute("0")

    def astype(self, x: Any, dtype: Any) -> Traced:
        """Return what a comparison gave as numbers."""
        if dtype is not Traced.dtype:
            raise TypeError("kernels compute in one dtype")
        return self.compute("{}", x)

    def maximum(self, a: Any, b: Any) -> Traced:
        """Return the larger one, or NaN where one is."""
        return self.compute("{0} >= {1} || {0} != {0} ? {0} : {1}", a, b)

    def minimum(self, a: Any, b: Any) -> Traced:
        """Return the smaller one, or NaN where one is."""
        return self.compute("{0} <= {1} || {0} != {0} ? {0} : {1}", a, b)
