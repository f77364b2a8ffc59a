"""Convolution as one matrix product over im2col's columns."""

from portanet.backend import Array
from portanet.checks import Pair, integer
from portanet.im2col import Padding, Window, batch_first, batch_last
from portanet.nn.context import Context, Gradients, Pullback
from portanet.nn.initialization import FanInUniform
from portanet.nn.window import WindowLayer


class Conv2d(WindowLayer):
    """Two-dimensional cross-correlation, which deep learning calls convolution.

    y[n, o, i, j] = b[o] + Σ_{c, u, v} W[o, c, u, v] · x[n, c, i·stride + u·dilation − padding, …],
    where c runs over the input channels of o's group and x is 0 outside the image.

    Args:
        in_channels: channels of the input, C.
        out_channels: channels of the output, O.
        kernel_size: height and width of the window, an int or a pair.
        stride: pixels from one window position to the next, an int or a pair.
        padding: rows and columns of zeros on both sides, an int or a pair; ``"same"`` keeps the
            image's size (stride 1 only), ``"valid"`` is 0.
        dilation: pixels from one element of the window to the next, an int or a pair.
        groups: parts that channels are split into, each convolved by itself; C for a depthwise
            convolution. It must divide C and O.
        bias: whether to add b.

    Shapes: x (N, C, H, W), y (N, O, H', W') with H' = ⌊(H + 2·padding − dilation·(kh − 1) − 1) /
    stride⌋ + 1; params ``weight`` (O, C/groups, kh, kw), ``bias`` (O,), both drawn uniformly from
    ±1/√(C/groups·kh·kw). The result has x's dtype, which must be the parameters'.

    With X the columns of im2col: Y = W X + b, dW = dY Xᵀ, db = Σ dY, dX = Wᵀ dY.
    Source: Chellapilla et al., "High performance convolutional neural networks for document
    processing", 2006.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair = 1,
        padding: Padding = 0,
        dilation: int | Pair = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        self.in_channels = integer("in_channels", in_channels)
        self.out_channels = integer("out_channels", out_channels)
        self.groups = integer("groups", groups)
        if in_channels % groups or out_channels % groups:
            self.fail(
                f"groups must divide in_channels and out_channels, "
                f"got {groups} for {in_channels} and {out_channels}"
            )
        self.window = Window.of(kernel_size, stride, padding, dilation)
        kh, kw = self.window.kernel
        fans = {
            "fan_in": in_channels // groups * kh * kw,
            "fan_out": out_channels * kh * kw,
        }
        shape = (out_channels, in_channels // groups, kh, kw)
        self.add_parameter("weight", shape, FanInUniform(), **fans)
        if bias:
            self.add_parameter("bias", (out_channels,), FanInUniform(), **fans)

    def vjp(self, x: Array, ctx: Context) -> tuple[Array, Pullback]:
        """Return y and the pullback, which keeps x: its columns are cheaper to make again."""
        params = self.own_params
        weight, bias = params["weight"], params.get("bias")
        backend = self.accept(x, weight)
        xp, window = backend.xp, self.window
        size = self.output_size(x, self.in_channels)
        out, shape, needs_input_grad = self.out_channels, x.shape, ctx.needs_input_grad
        # Groups are a leading axis of each matrix; without groups every product is 2-D.
        lead = () if self.groups == 1 else (self.groups,)
        matrix = xp.reshape(weight, (*lead, out // self.groups, -1))

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
            return backend.convolve_input_grad(matrix, d_product, shape, window), grads

        return y, pullback

    def extra_repr(self) -> str:
        """Return the arguments that `repr` shows."""
        rest = f", groups={self.groups}" if self.groups > 1 else ""
        rest += "" if "bias" in self._parameters else ", bias=False"
        return f"{self.in_channels}, {self.out_channels}, {super().extra_repr()}{rest}"
