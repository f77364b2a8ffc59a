"""What layers share that work on images, or on sequences: most slide a window over them."""

from typing import Any, NoReturn

from portanet.backend import Array
from portanet.checks import Pair, integer, pair
from portanet.im2col import Padding, Window
from portanet.nn.context import Context, Gradients, Pullback
from portanet.nn.layer import Layer

Size = int | tuple[int, ...]  # one number for all axes, or one for each


class ImageLayer(Layer):
    """A layer on images (N, C, H, W)."""

    axes: tuple[str, ...] = ("H", "W")  # the names of the axes that it works along
    in_channels: int | None = None  # None: any number of channels

    def lengths(self, what: str, value: Any, least: int = 1) -> Pair:
        """Return a number for each axis of an image, from one for all or one for each."""
        return pair(what, value, least)

    def require_images(self, x: Array) -> None:
        """Raise ValueError where x is no batch of images with the channels that are expected."""
        if x.ndim != 4 or self.in_channels not in (None, x.shape[1]) or 0 in x.shape[2:]:
            self.refuse(x)

    def refuse(self, x: Array) -> NoReturn:
        """Raise ValueError for the shape of x."""
        expected = ", ".join(("N", str(self.in_channels or "C"), *self.axes))
        self.fail(f"expected x of shape ({expected}), got {tuple(x.shape)}")


class WindowLayer(ImageLayer):
    """A layer with a `window`."""

    window: Window
    ceil_mode = False

    def make_window(
        self, kernel_size: Size, stride: Size, padding: Size | Padding, dilation: Size
    ) -> Window:
        """Return the window of a layer's arguments, one number or one for each axis."""
        if not isinstance(padding, str):
            padding = self.lengths("padding", padding, least=0)
        return Window.of(
            self.lengths("kernel_size", kernel_size),
            self.lengths("stride", stride),
            padding,
            self.lengths("dilation", dilation),
        )

    def output_size(self, x: Array) -> Pair:
        """Return the output's height and width, or raise ValueError where x does not fit."""
        self.require_images(x)
        try:
            return self.window.output_size(x.shape[2], x.shape[3], self.ceil_mode)
        except ValueError as error:
            self.fail(str(error))

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


class OnSequences(ImageLayer):
    """Makes a layer on images one on sequences (N, C, L): they are images of height 1.

    It stands before the layer among a class's bases: ``class Conv1d(OnSequences, Convolution)``.
    """

    axes = ("L",)

    def lengths(self, what: str, value: Any, least: int = 1) -> Pair:
        """Return the least for the height, and the number for the one axis of a sequence."""
        if isinstance(value, (tuple, list)):
            if len(value) != 1:
                raise ValueError(f"{what} must be an int for sequences, got {value!r}")
            value = value[0]
        return least, integer(what, value, least)

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
