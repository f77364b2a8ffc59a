"""The table that ``model.summary(input_shape)`` returns."""

from math import prod
from typing import TYPE_CHECKING

from portanet.backend import Array
from portanet.checks import lengths
from portanet.nn.context import Context, Pullback
from portanet.random import Shape

if TYPE_CHECKING:
    from portanet.nn.layer import Layer

Row = tuple[str, str, str, str]


class _Recorder(Context):
    """A context that notes each layer's output shape as containers run their children."""

    __slots__ = ("rows",)

    def __init__(self) -> None:
        super().__init__(needs_input_grad=False, needs_pullback=False)
        self.rows: list[Row] = []

    def child(self, name: str, needs_input_grad: bool = True) -> Context:
        child = super().child(name, needs_input_grad)
        child.rows = self.rows  # type: ignore[attr-defined]
        return child

    def run(
        self, name: str, layer: "Layer", x: Array, needs_input_grad: bool = True
    ) -> tuple[Array, Pullback]:
        y, pullback = super().run(name, layer, x, needs_input_grad)
        own = sum(prod(p.shape) for p in layer.own_params.values())
        if own or not layer.children:
            path = ".".join(filter(None, (*self._path, name)))
            shape = "(N, " + ", ".join(map(str, y.shape[1:])) + ")"
            self.rows.append((path, type(layer).__name__, shape, f"{own:,}"))
        return y, pullback


def summarize(model: "Layer", input_shape: Shape, dtype: str | None = None) -> str:
    """Run two samples of zeros through the model, in inference, and tabulate its layers.

    One would not do for a batch norm without running statistics.
    """
    params = list(model.params.values())
    backend = model.backend
    shape = (2, *lengths("input_shape", input_shape, least=1))
    x = backend.asarray([0.0], dtype)
    recorder = _Recorder()
    recorder.run("", model, backend.xp.broadcast_to(x, shape))
    rows = [("name", "layer", "output", "parameters"), *recorder.rows]
    widths = [max(len(row[k]) for row in rows) for k in range(4)]
    lines = [
        f"{n:<{widths[0]}}  {layer:<{widths[1]}}  {shape:<{widths[2]}}  {count:>{widths[3]}}"
        for n, layer, shape, count in rows
    ]
    lines.insert(1, "-" * max(map(len, lines)))
    total = sum(prod(array.shape) for array in params)
    return "\n".join([*lines, f"total: {total:,} parameters"])
