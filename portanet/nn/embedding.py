"""Trained vectors for the words of a vocabulary."""

from dataclasses import dataclass
from math import prod
from typing import Any

from portanet.backend import Array, backend_of, dtype_name
from portanet.checks import integer
from portanet.nn.context import Context, Gradients, Pullback
from portanet.nn.initialization import Initialization, Normal
from portanet.nn.layer import Layer
from portanet.random import Key, Shape


class Embedding(Layer):
    """A table of vectors, looked up by index: y = W[x].

    dW[v] = Σ dy over all places where x is v; x has no gradient.

    Args:
        num_embeddings: rows of the table, V: indices are 0 … V − 1.
        embedding_dim: the length of a vector, D.
        padding_idx: the index that stands for nothing, such as what fills up short sentences. Its
            vector starts at zero and is not trained; a negative one counts from the end.

    Shapes: x (…), integers of any dtype, y (…, D); params ``weight`` (V, D), drawn from the normal
    distribution with standard deviation 1.

    Raises TypeError where x holds no integers, and ValueError for an index outside 0 … V − 1. On a
    GPU, where checking means waiting, indices are checked only in the model's own input (in calls,
    `forward`, and once for a Trainer's data), never inside `vjp`: CuPy wraps around, others raise
    what they raise.
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None
    ) -> None:
        self.num_embeddings = integer("num_embeddings", num_embeddings)
        self.embedding_dim = integer("embedding_dim", embedding_dim)
        init: Initialization = Normal(1.0)
        self.padding_idx = None
        if padding_idx is not None:
            padding_idx = integer("padding_idx", padding_idx, least=-num_embeddings)
            if padding_idx >= num_embeddings:
                self.fail(f"padding_idx must be below {num_embeddings}, got {padding_idx}")
            self.padding_idx = padding_idx % num_embeddings
            init = _ZeroRow(init, self.padding_idx)
        self.add_parameter("weight", (num_embeddings, embedding_dim), init)

    def vjp(self, x: Array, ctx: Context) -> tuple[Array, Pullback]:
        """Return y and the pullback, which keeps x as int64."""
        weight, padding = self.own_params["weight"], self.padding_idx
        backend = backend_of(x, weight)
        xp, table = backend.xp, weight.shape
        if backend.asynchronous:
            self._check_kind(x)
        else:
            self.check(x)
        indices = xp.reshape(xp.astype(x, xp.int64, copy=False), (-1,))
        y = xp.reshape(xp.take(weight, indices, axis=0), (*x.shape, table[1]))

        def pullback(dy: Array) -> tuple[Array, Gradients]:
            sums = xp.zeros(table, dtype=dy.dtype, device=dy.device)
            d_weight = backend.index_add(sums, indices, xp.reshape(dy, (-1, table[1])))
            if padding is not None:
                d_weight[padding, ...] = 0.0
            return None, {"weight": d_weight}

        return y, pullback

    def check(self, x: Array) -> None:
        """Raise ValueError for an index outside 0 … V − 1; this waits for the device."""
        xp = backend_of(x).xp
        self._check_kind(x)
        if prod(x.shape) == 0:
            return
        low, high, last = int(xp.min(x)), int(xp.max(x)), self.num_embeddings - 1
        if low < 0 or high > last:
            self.fail(f"indices must be in 0 … {last}, got {low if low < 0 else high}")

    def _check_kind(self, x: Array) -> None:
        if not backend_of(x).xp.isdtype(x.dtype, "integral"):
            self.fail(f"expected x of integers, got {dtype_name(x)}", TypeError)

    def extra_repr(self) -> str:
        """Return the arguments that `repr` shows."""
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"


@dataclass(frozen=True)
class _ZeroRow:
    """Another initialization, but for one row of zeros."""

    init: Initialization
    row: int

    def __call__(self, key: Key, shape: Shape, fan_in: int, fan_out: int) -> Any:
        values = self.init(key, shape, fan_in, fan_out)
        values[self.row] = 0.0
        return values
