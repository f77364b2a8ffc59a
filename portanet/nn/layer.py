"""The contract of every layer: one vector-Jacobian product."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, overload

from portanet.backend import Array, Backend, backend_of, dtype_name
from portanet.nn import graph
from portanet.nn.context import Context, Pullback
from portanet.nn.graph import Node
from portanet.nn.running import output, pulled
from portanet.nn.weights import Weights
from portanet.overriding import check_override
from portanet.random import Key, Shape, fresh_seed


class Layer(Weights):
    """A differentiable function with named parameters.

    A layer that computes something declares its arrays with `add_parameter` and `add_buffer` and
    implements one method, ``vjp(x, ctx) -> (y, pullback)``, with ``pullback(dy) -> (dx, grads)``;
    it stores nothing on itself, so that one layer may run many times, in many threads, before any
    pullback is called.

    A layer that is made of layers assigns them as attributes and implements `compute` instead::

        class Block(nn.Layer):
            def __init__(self, channels):
                self.conv = nn.Conv2d(channels, channels, 3, padding="same")
                self.act = nn.ReLU()

            def compute(self, x):
                return self.act(self.conv(x) + x)

    A layer whose output for a sample depends on the other samples of its batch, as batch
    normalization's does, sets ``couples_samples = True`` in its class: else a Trainer may cut
    batches into parts, and the layer would see these. `portanet.check_layer` finds that out.

    The rest is what notebooks want: ``layer(x)`` for inference, ``forward`` and ``backward`` with
    `grads`, `params` by name, `state_dict`, `summary`, `to`.
    """

    _last_call: tuple[Pullback, Array] | None = None

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name in ("vjp", "compute"):
            check_override(cls, name, Layer)

    def vjp(self, x: Array, ctx: Context) -> tuple[Array, Pullback]:
        """Return the output and its pullback: the forward and the backward mathematics.

        The pullback must not mention `self` nor rebind what it captures, and it returns gradients
        without adding them anywhere. Parameters are captured, not copied: it is to be called before
        an optimizer changes them. A layer that defines `compute` has it from there.
        """
        return graph.run(self, x, ctx)

    def compute(self, x: Node) -> Node:
        """Return what the layers that this one is made of make of x.

        Called with a node, a layer runs and returns a node; nodes are joined by ``a + b``,
        ``a * b`` and `concat`, see `Node`. The pullback follows from the layers'.
        """
        hint = "" if type(self).forward is Layer.forward else " (call its forward compute)"
        raise NotImplementedError(f"{self.label} defines neither vjp nor compute{hint}")

    def accept(self, x: Array, *arrays: Array) -> Backend:
        """Return the backend of the input and the layer's own arrays.

        Raises TypeError where the input is no array, not floating-point or not of the arrays'
        dtype, and BackendMismatchError where they live apart.
        """
        backend = backend_of(x, *arrays)
        dtype = x.dtype
        if arrays and dtype != arrays[0].dtype:
            self.fail(
                f"expected x of {dtype_name(arrays[0])}, its parameters' dtype, got "
                f"{dtype_name(x)}; portanet.asarray(x, dtype=…) converts",
                TypeError,
            )
        if dtype not in backend.floats:
            self.fail(f"expected floating-point x, got {dtype_name(x)}", TypeError)
        return backend

    def check(self, x: Array) -> None:
        """Raise ValueError where a value in x is impossible, as an index may be.

        That may wait for the device, so `vjp` does without; the values of x are checked in calls,
        in `forward` and, once, where a Trainer is given them. A layer made of layers passes x on
        to those that see it.
        """

    if TYPE_CHECKING:  # whose trees are of layers

        def named_layers(self, shared: bool = False) -> Iterator[tuple[str, "Layer"]]:
            """Yield this layer and all within it with their dotted names."""

    @overload
    def __call__(self, x: Node) -> Node: ...
    @overload
    def __call__(self, x: Array) -> Array: ...
    def __call__(self, x: Node | Array) -> Node | Array:
        """Return the output for `x` in inference mode; within `compute`, for a node, a node."""
        if isinstance(x, Node):
            return x._graph.call(self, x)
        self.check(x)
        return output(self, x, Context(needs_input_grad=False, needs_pullback=False))[0]

    def forward(self, x: Array, training: bool = False, seed: int | None = None) -> Array:
        """Return the output and remember the call for one `backward`.

        With `training`, running statistics are updated and dropout draws from `seed` (fresh
        entropy by default). Not for several threads at once: these use `vjp`.
        """
        self.check(x)
        ctx = Context(training, rng=Key(fresh_seed() if seed is None else seed))
        y, pullback = output(self, x, ctx)
        ctx.apply_updates()
        self._last_call = (pullback, y)
        return y

    def backward(self, dy: Array) -> Array:
        """Return dx for the last `forward` and add the parameters' gradients into `grads`."""
        if self._last_call is None:
            self.fail("backward needs a forward of its own before it", RuntimeError)
        pullback, y = self._last_call
        backend_of(dy, y)
        if dy.shape != y.shape or dy.dtype != y.dtype:
            self.fail(
                f"expected dy as the output, {dtype_name(y)} of shape {tuple(y.shape)}, "
                f"got {dtype_name(dy)} of shape {tuple(dy.shape)}"
            )
        self._last_call = None
        dx, grads = pulled(pullback, dy, self)
        owners = self.owners()
        for n, grad in grads.items():
            layer, key = owners[n]
            old = layer._own_grads.get(key)
            layer._own_grads[key] = grad if old is None else old + grad
        return dx

    def summary(self, input_shape: Shape, dtype: str | None = None) -> str:
        """Return a table of the layers with their output shapes and numbers of parameters.

        `input_shape` is one sample's, without the batch: ``model.summary((1, 28, 28))``. `dtype` is
        the input's, by default the model's; ``"int64"`` for a model that takes indices.
        """
        from portanet.nn.summary import summarize

        return summarize(self, input_shape, dtype)

    def __repr__(self) -> str:
        if not self.children:
            return f"{type(self).__name__}({self.extra_repr()})"
        lines = [f"({n}): {child!r}" for n, child in self.children.items()]
        body = "\n".join(filter(None, [*lines, self.extra_repr()])).replace("\n", "\n  ")
        return f"{type(self).__name__}(\n  {body}\n)"

    def extra_repr(self) -> str:
        """Return the arguments that `repr` shows."""
        return ""

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_last_call": None}  # a pullback cannot be copied or pickled
