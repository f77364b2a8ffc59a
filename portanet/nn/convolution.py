"""Convolution as one matrix product over im2col's columns."""

from math import prod
from typing import Any

from portanet.backend import Array
from portanet.checks import flag, integer, word
from portanet.im2col import Padding, Window, batch_first, batch_last
from portanet.nn.border import BORDERS, extend, fold
from portanet.nn.context import Context, Gradients, Pullback
from portanet.nn.initialization import FanInUniform
from portanet.nn.window import OnSequences, Size, WindowLayer


class ConvolutionLayer(WindowLayer):
    """What convolutions share, transposed ones too: channels, groups, a weight and a bias."""

    in_channels: int

    def describe(
        self, in_channels: int, out_channels: int, groups: int, bias: bool, transposed: bool = False
    ) -> None:
        """Declare the parameters of a layer whose `window` is set."""
        self.in_channels = integer("in_channels", in_channels)
        self.out_channels = integer("out_channels", out_channels)
        self.groups = integer("groups", groups)
        if in_channels % groups or out_channels % groups:
            self.fail(
                f"groups must divide in_channels and out_channels, "
                f"got {groups} for {in_channels} and {out_channels}"
            )
        # One matrix row for each channel at the window's positions, over the pixels under it.
        rows, channels = (in_channels, out_channels) if transposed else (out_channels, in_channels)
        kernel = self.window.kernel[-len(self.axes) :]
        fans = {"fan_in": channels // groups * prod(kernel), "fan_out": rows * prod(kernel)}
        self.add_parameter("weight", (rows, channels // groups, *kernel), FanInUniform(), **fans)
        if flag("bias", bias):
            self.add_parameter("bias", (out_channels,), FanInUniform(), **fans)
        # Groups are a leading axis of the matrix; without groups every product is 2-D.
        self.matrix_shape = (rows, -1) if groups == 1 else (groups, rows // groups, -1)

    def extra_repr(self) -> str:
        """Return the arguments that `repr` shows."""
        rest = f", groups={self.groups}" if self.groups > 1 else ""
        rest += "" if "bias" in self._parameters else ", bias=False"
        return f"{self.in_channels}, {self.out_channels}, {super().extra_repr()}{rest}"


class Convolution(ConvolutionLayer):
    """A convolution, of images or sequences."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | Padding = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
    ) -> None:
        self.window = self.make_window(kernel_size, stride, padding, dilation)
        self.padding_mode = word("padding_mode", padding_mode, "zeros", *BORDERS)
        self.describe(in_channels, out_channels, groups, bias)

    def vjp(self, x: Array, ctx: Context) -> tuple[Array, Pullback]:
        """Return y and the pullback, which keeps x: its columns are cheaper to make again."""
        params = self.own_params
        weight, bias = params["weight"], params.get("bias")
        backend = self.accept(x, weight)
        xp, window, mode = backend.xp, self.window, self.padding_mode
        size, border = self.output_size(x), window.padding
        if mode != "zeros":  # zeros are the kernels' business
            x, window = self._extended(xp, x)
        out, shape, needs_input_grad = self.out_channels, x.shape, ctx.needs_input_grad
        matrix = xp.reshape(weight, self.matrix_shape)

        product = xp.reshape(backend.convolve(matrix, x, window), (out, -1))
        if bias is not None:
            product += bias[:, None]
        y = batch_first(xp, xp.reshape(product, (out, *size, shape[0])))

        def pullback(dy: Array) -> tuple[Array, Gradients]:
            d_product = xp.reshape(batch_last(xp, dy), (out, -1))
            grads = {}
            if bias is not None:
                grads["bias"] = xp.sum(d_product, axis=1)
            d_product = xp.reshape(d_product, (*matrix.shape[:-1], -1))
            d_matrix = backend.convolve_weight_grad(d_product, x, window)
            grads["weight"] = xp.reshape(d_matrix, weight.shape)
            if not needs_input_grad:
                return None, grads
            dx = backend.convolve_input_grad(matrix, d_product, shape, window)
            if mode != "zeros":
                dx = batch_first(xp, fold(batch_last(xp, dx), border, mode))
            return dx, grads

        return y, pullback

    def _extended(self, xp: Any, x: Array) -> tuple[Array, Window]:
        """Return x with its border of pixels, and the window without padding."""
        try:
            x = batch_first(
                xp, extend(xp, batch_last(xp, x), self.window.padding, self.padding_mode)
            )
        except ValueError as error:
            self.fail(str(error))
        return x, self.window._replace(padding=((0, 0), (0, 0)))

    def extra_repr(self) -> str:
        """Return the arguments that `repr` shows."""
        rest = "" if self.padding_mode == "zeros" else f", padding_mode={self.padding_mode!r}"
        return super().extra_repr() + rest


class Conv2d(Convolution):
    """Two-dimensional cross-correlation, which deep learning calls convolution.

    y[n, o, i, j] = b[o] + Σ_{c, u, v} W[o, c, u, v] · x[n, c, i·stride + u·dilation − padding, …],
    where c runs over the input channels of o's group and x is 0 outside the image.

    Args:
        in_channels: channels of the input, C.
        out_channels: channels of the output, O.
        kernel_size: height and width of the window, an int or a pair.
        stride: pixels from one window position to the next, an int or a pair.
        padding: rows and columns that are added on both sides, an int or a pair; ``"same"`` keeps
            the image's size (stride 1 only), ``"valid"`` is 0.
        dilation: pixels from one element of the window to the next, an int or a pair.
        groups: parts that channels are split into, each convolved by itself; C for a depthwise
            convolution. It must divide C and O.
        bias: whether to add b.
        padding_mode: what is added: ``"zeros"``; ``"reflect"``, the image mirrored at its border
            pixels; ``"replicate"``, the border pixels again; ``"circular"``, the other side's.

    Shapes: x (N, C, H, W), y (N, O, H', W') with H' = ⌊(H + 2·padding − dilation·(kh − 1) − 1) /
    stride⌋ + 1; params ``weight`` (O, C/groups, kh, kw), ``bias`` (O,), both drawn uniformly from
    ±1/√(C/groups·kh·kw). The result has x's dtype, which must be the parameters'.

    Raises ValueError where the padding is too wide for the image: beyond H − 1 reflected, beyond H
    in a circle.

    With X the columns of im2col: Y = W X + b, dW = dY Xᵀ, db = Σ dY, dX = Wᵀ dY.
    Source: Chellapilla et al., "High performance convolutional neural networks for document
    processing", 2006.
    """


class Conv1d(OnSequences, Convolution):
    """One-dimensional cross-correlation, which deep learning calls convolution.

    y[n, o, i] = b[o] + Σ_{c, u} W[o, c, u] · x[n, c, i·stride + u·dilation − padding], where c runs
    over the input channels of o's group and x is 0 outside the sequence.

    Arguments are those of `Conv2d`; sizes are one number.

    Shapes: x (N, C, L), y (N, O, L') with L' = ⌊(L + 2·padding − dilation·(k − 1) − 1) / stride⌋ +
    1; params ``weight`` (O, C/groups, k), ``bias`` (O,), both drawn uniformly from
    ±1/√(C/groups·k). The result has x's dtype, which must be the parameters'.

    Raises ValueError where the padding is too wide for the sequence, as in `Conv2d`.
    """
