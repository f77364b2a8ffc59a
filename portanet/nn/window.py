"""What layers share that slide a window over images, or over sequences."""

from typing import NoReturn

from portanet.backend import Array
from portanet.checks import Pair, integer, pair
from portanet.im2col import Padding, Window
from portanet.nn.context import Context, Gradients, Pullback
from portanet.nn.layer import Layer

Size = int | tuple[int, ...]  # one number for all axes, or one for each


class WindowLayer(Layer):
    """A layer with a `window`, on images (N, C, H, W)."""

    window: Window
    axes: tuple[str, ...] = ("H", "W")  # the names of the axes that the window slides along
    in_channels: int | None = None  # None: any number of channels
    ceil_mode = False

    def make_window(
        self, kernel_size: Size, stride: Size, padding: Size | Padding, dilation: Size
    ) -> Window:
        """Return the window of a layer's arguments, one number or one for each axis."""
        if not isinstance(padding, str):
            padding = pair("padding", padding, least=0)
        return Window.of(kernel_size, stride, padding, dilation)  # type: ignore[arg-type]

    def output_size(self, x: Array) -> Pair:
        """Return the output's height and width, or raise ValueError where x does not fit."""
        if x.ndim != 4 or self.in_channels not in (None, x.shape[1]) or 0 in x.shape[2:]:
            self.refuse(x)
        try:
            return self.window.output_size(x.shape[2], x.shape[3], self.ceil_mode)
        except ValueError as error:
            self.fail(str(error))

    def refuse(self, x: Array) -> NoReturn:
        """Raise ValueError for the shape of x."""
        expected = ", ".join(("N", str(self.in_channels or "C"), *self.axes))
        self.fail(f"expected x of shape ({expected}), got {tuple(x.shape)}")

    def extra_repr(self) -> str:
        """Return the arguments that `repr` shows."""
        w, first = self.window, -len(self.axes)
        words = {"kernel_size": w.kernel[first:], "stride": w.stride[first:]}
        if any(map(any, w.padding)):
            same = all(before == after for before, after in w.padding)
            pads = tuple(before for before, _ in w.padding) if same else w.padding
            words["padding"] = pads[first:]  # type: ignore[assignment]
        if w.dilation != (1, 1):
            words["dilation"] = w.dilation[first:]
        return ", ".join(f"{word}={value}" for word, value in words.items())


class OnSequences(WindowLayer):
    """Makes a layer on images one on sequences (N, C, L): they are images of height 1.

    It stands before the layer among a class's bases: ``class Conv1d(OnSequences, Convolution)``.
    """

    axes = ("L",)

    def make_window(
        self, kernel_size: Size, stride: Size, padding: Size | Padding, dilation: Size
    ) -> Window:
        """Return the window of a layer's arguments, of height 1."""
        if not isinstance(padding, str):
            padding = (0, _only("padding", padding, least=0))
        return Window.of(
            (1, _only("kernel_size", kernel_size)),
            (1, _only("stride", stride)),
            padding,
            (1, _only("dilation", dilation)),
        )

    def vjp(self, x: Array, ctx: Context) -> tuple[Array, Pullback]:
        """Return what the layer makes of x as images, and its pullback."""
        xp = self.accept(x).xp
        if x.ndim != 3 or self.in_channels not in (None, x.shape[1]) or x.shape[2] == 0:
            self.refuse(x)
        y, pullback = super().vjp(xp.expand_dims(x, axis=2), ctx)

        def on_sequences(dy: Array) -> tuple[Array, Gradients]:
            dx, grads = pullback(xp.expand_dims(dy, axis=2))
            return (None if dx is None else xp.squeeze(dx, axis=2)), grads

        return xp.squeeze(y, axis=2), on_sequences


def _only(what: str, value: Size, least: int = 1) -> int:
    """Return the number for the one axis of a sequence."""
    if isinstance(value, (tuple, list)):
        if len(value) != 1:
            raise ValueError(f"{what} must be an int for sequences, got {value!r}")
        value = value[0]
    return integer(what, value, least)
