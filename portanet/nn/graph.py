"""How a layer that is made of layers runs them, and how its pullback follows from theirs.

A composite writes down only what is called in which order, in `Layer.compute`. It is given a `Node`
instead of an array: calling a layer with a node runs that layer and notes its pullback; the
composite's own pullback goes through the notes backwards.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from math import inf
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from portanet.backend import Array, backend_of
from portanet.checks import integer
from portanet.nn.calls import Call, calls_of
from portanet.nn.context import Context, Gradients, Pullback, no_pullback
from portanet.nn.running import no_gradients

if TYPE_CHECKING:
    from portanet.nn.layer import Layer


class Node:
    """An array on its way through a composite.

    ``layer(node)`` runs a layer of the composite; ``a + b``, ``a - b`` and ``a * b`` join two nodes
    of equal shape element by element, `sum` adds several, `concat` joins them along an axis. With
    numbers there are ``1 + a``, ``1 - a``, ``0.1 * a``, ``a / 2``, and ``-a``.
    `value` is the array.
    """

    __slots__ = ("_graph", "_needs_grad", "_number", "value")

    def __init__(self, graph: "Graph", number: int, value: Array, needs_grad: bool) -> None:
        self._graph, self._number, self._needs_grad = graph, number, needs_grad
        self.value = value

    @property
    def shape(self) -> tuple[int, ...]:
        """The array's shape."""
        return tuple(self.value.shape)

    def __add__(self, other: "Node | float") -> "Node":
        if not isinstance(other, Node):
            return self._graph.join(self.value + _number("+", other), lambda dy: (dy,), self)
        a, b = _pair("+", self, other)
        return self._graph.join(a + b, lambda dy: (dy, dy), self, other)

    def __sub__(self, other: "Node | float") -> "Node":
        if not isinstance(other, Node):
            return self + -_number("-", other)
        a, b = _pair("-", self, other)
        return self._graph.join(a - b, lambda dy: (dy, -dy), self, other)

    def __rsub__(self, other: float) -> "Node":
        return -self + other

    def __neg__(self) -> "Node":
        return self._graph.join(-self.value, lambda dy: (-dy,), self)

    def __mul__(self, other: "Node | float") -> "Node":
        if not isinstance(other, Node):
            factor = _number("*", other)
            return self._graph.join(self.value * factor, lambda dy: (dy * factor,), self)
        a, b = _pair("*", self, other)
        return self._graph.join(a * b, lambda dy: (dy * b, dy * a), self, other)

    def __truediv__(self, other: float) -> "Node":
        divisor = _number("/", other)
        return self._graph.join(self.value / divisor, lambda dy: (dy / divisor,), self)

    __radd__, __rmul__ = __add__, __mul__
    __array_ufunc__ = None  # NumPy's functions refuse a node by name

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(
            f"a node in compute has no {name!r}: it can be added, multiplied, concatenated and "
            "given to layers; for anything else write a layer with a vjp, which gets arrays"
        )


def concat(nodes: Sequence[Node], axis: int = 1) -> Node:
    """Join nodes along an axis, by default the channels; the other axes must be equally long."""
    if not isinstance(nodes, (list, tuple)) or not nodes:
        raise TypeError(f"concat takes a list of nodes, as concat([a, b]), got {nodes!r}")
    axis = integer("axis", axis, least=-inf)
    for node in nodes:
        if not isinstance(node, Node):
            raise TypeError(f"concat joins the nodes of compute, got {type(node).__name__}")
    graph: Graph = nodes[0]._graph
    shapes = [node.shape for node in nodes]
    ndim = len(shapes[0])
    others = {shape[:axis] + shape[axis:][1:] for shape in shapes if -ndim <= axis < ndim}
    if len(others) != 1:
        graph.fail(f"cannot concatenate {' and '.join(map(str, shapes))} along axis {axis}")
    axis %= ndim
    xp = backend_of(*(node.value for node in nodes)).xp
    # With the batch innermost in memory, which is the order of the layers' outputs.
    turned = [xp.permute_dims(node.value, (*range(1, ndim), 0)) for node in nodes]
    joined = xp.concat(turned, axis=(axis - 1) % ndim)
    ends = [0, *accumulate(shape[axis] for shape in shapes)]

    def back(dy: Array) -> tuple[Array, ...]:
        before = (slice(None),) * axis
        return tuple(dy[(*before, slice(start, stop), ...)] for start, stop in pairwise(ends))

    return graph.join(xp.permute_dims(joined, (ndim - 1, *range(ndim - 1))), back, *nodes)


def _number(sign: str, b: Any) -> float:
    if not isinstance(b, Real):  # which NumPy's are, too
        kind = type(b).__name__
        raise TypeError(f"a node in compute {sign} {kind}: expected a number, or a node after +-*")
    return float(b)


def _pair(sign: str, a: Node, b: Node) -> tuple[Array, Array]:
    if a.shape != b.shape:
        a._graph.fail(f"{a.shape} {sign} {b.shape}: both nodes must have the same shape")
    return a.value, b.value


class Step(NamedTuple):
    """One thing done in `compute`: the number of its result, and of what it was made of."""

    result: int
    sources: tuple[int, ...]
    back: Callable[[Array], Any]
    call: Call | None  # None: nodes were joined, back gives a gradient for each


class Graph:
    """The steps of one run of a composite."""

    def __init__(self, composite: "Layer", ctx: Context) -> None:
        self._composite, self._ctx = composite, ctx
        self._calls = calls_of(composite)
        self._uses: dict[Layer, int] = {}
        self._steps: list[Step] = []
        self._count = 0

    def fail(self, message: str) -> NoReturn:
        """Raise ValueError in the composite's name."""
        self._composite.fail(message)

    def node(self, value: Array, needs_grad: bool) -> Node:
        """Return a new node, numbered in the order of making."""
        self._count += 1
        return Node(self, self._count - 1, value, needs_grad and self._ctx.needs_pullback)

    def call(self, layer: "Layer", x: Node) -> Node:
        """Run a layer of the composite; its second run in a pass has another name."""
        call = self._calls.get(layer)
        if call is None:
            self.fail(
                f"compute calls a {type(layer).__name__} that is no part of it: assign it to an "
                "attribute in __init__"
            )
        self._uses[layer] = use = self._uses.get(layer, 0) + 1
        # Two dropouts draw differently, and so does one that is called twice.
        name = call.name if use == 1 else f"{call.name}:{use}"
        y, pullback = self._ctx.run(name, layer, x.value, x._needs_grad)
        node = self.node(y, x._needs_grad or call.trained)
        if node._needs_grad:
            self._steps.append(Step(node._number, (x._number,), pullback, call))
        return node

    def join(self, y: Array, back: Callable[[Array], Any], *nodes: Node) -> Node:
        """Note that y was made of nodes; ``back(dy)`` gives a gradient for each."""
        if any(source._graph is not self for source in nodes):
            self.fail("a node of another compute, or of another pass: return it from there instead")
        node = self.node(y, any(source._needs_grad for source in nodes))
        if node._needs_grad:
            sources = tuple(source._number for source in nodes)
            self._steps.append(Step(node._number, sources, back, None))
        return node


def run(composite: "Layer", x: Array, ctx: Context) -> tuple[Array, Pullback]:
    """Return the output of a composite's `compute` and the pullback, which keeps the layers'."""
    backend_of(x)  # a composite of nothing would return whatever it is given
    graph = Graph(composite, ctx)
    y = composite.compute(graph.node(x, ctx.needs_input_grad))
    if not isinstance(y, Node) or y._graph is not graph:
        composite.fail(f"compute must return a node of its own, got {type(y).__name__}", TypeError)
    if not ctx.needs_pullback:
        return y.value, no_pullback
    steps, last, needs_input_grad = graph._steps, y._number, ctx.needs_input_grad

    def pullback(dy: Array) -> tuple[Array, Gradients]:
        found = {last: dy}  # the gradients by the nodes
        sums: Gradients = {}
        for result, sources, back, call in reversed(steps):
            d = found.pop(result, None)
            if d is None:  # nothing was made of it
                continue
            if call is None:
                parts = back(d)
            else:
                given, names = back(d), call.gradients
                if not (
                    isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], dict)
                ):
                    raise no_gradients(call, given)
                dx, grads = given
                parts = (dx,)
                if not names.keys() <= grads.keys():
                    lacking = sorted(names[key] for key in names.keys() - grads.keys())
                    raise ValueError(f"{call.label}: the pullback lacks gradients for {lacking}")
                for key, name in names.items():
                    sums[name] = sums[name] + grads[key] if name in sums else grads[key]
            for source, part in zip(sources, parts, strict=True):
                if part is not None:
                    found[source] = found[source] + part if source in found else part
        return (found.get(0) if needs_input_grad else None), sums

    return y.value, pullback
