"""Transposed convolution: what carries a convolution's gradients back, run forward."""

from portanet.backend import Array
from portanet.im2col import absurd, batch_first, batch_last, crop, pad
from portanet.nn.context import Context, Gradients, Pullback
from portanet.nn.convolution import ConvolutionLayer
from portanet.nn.window import OnSequences, Size
from portanet.sums import total


class TransposedConvolution(ConvolutionLayer):
    """A transposed convolution, of images or sequences."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size = 1,
    ) -> None:
        self.lengths("padding", padding, least=0)  # no word, as convolutions take
        self.window = self.make_window(kernel_size, stride, padding, dilation)
        self.output_padding = self.lengths("output_padding", output_padding, least=0)
        for extra, s, d in zip(
            self.output_padding, self.window.stride, self.window.dilation, strict=True
        ):
            if extra >= max(s, d):
                self.fail(
                    f"output_padding must be less than stride or dilation, got {output_padding} "
                    f"for {stride} and {dilation}"
                )
        self.describe(in_channels, out_channels, groups, bias, transposed=True)

    def vjp(self, x: Array, ctx: Context) -> tuple[Array, Pullback]:
        """Return y and the pullback, which keeps x."""
        params = self.own_params
        weight, bias = params["weight"], params.get("bias")
        backend = self.accept(x, weight)
        xp, window = backend.xp, self.window
        size, shape, needs_input_grad = self.output_size(x), x.shape, ctx.needs_input_grad
        image = (shape[0], self.out_channels, *size)
        matrix = xp.reshape(weight, self.matrix_shape)
        # Where output_padding reaches a whole stride, as it may with dilation, a convolution of y
        # has more positions than x has pixels: there are zeros.
        (down, along) = (e // s for e, s in zip(self.output_padding, window.stride, strict=True))
        beyond = ((0, down), (0, along))

        pixels = pad(xp, batch_last(xp, x), beyond)
        padded = pixels.shape
        product = xp.reshape(pixels, (*matrix.shape[:-1], -1))
        y = backend.convolve_input_grad(matrix, product, image, window)
        if bias is not None:
            y += bias[:, None, None]

        def pullback(dy: Array) -> tuple[Array, Gradients]:
            d_matrix = backend.convolve_weight_grad(product, dy, window)
            grads = {"weight": xp.reshape(d_matrix, weight.shape)}
            if bias is not None:
                grads["bias"] = xp.reshape(total(xp, dy, (0, 2, 3)), (-1,))
            if not needs_input_grad:
                return None, grads
            d_pixels = xp.reshape(backend.convolve(matrix, dy, window), padded)
            return batch_first(xp, crop(d_pixels, beyond, shape[2], shape[3])), grads

        return y, pullback

    def output_size(self, x: Array) -> tuple[int, int]:
        """Return the output's height and width, or raise ValueError where there is none."""
        self.require_images(x)
        w = self.window
        height, width = (
            (length - 1) * s - 2 * before + d * (k - 1) + extra + 1
            for length, s, (before, _), d, k, extra in zip(
                *(x.shape[2:], w.stride, w.padding, w.dilation, w.kernel, self.output_padding),
                strict=True,
            )
        )
        if min(height, width) < 1:
            self.fail(f"padding leaves nothing of images of {tuple(x.shape[2:])}")
        if slip := absurd(x.shape[2:], (height, width)):
            self.fail(slip)
        return height, width

    def extra_repr(self) -> str:
        """Return the arguments that `repr` shows."""
        extra = self.output_padding[-len(self.axes) :]
        return super().extra_repr() + (f", output_padding={extra}" if any(extra) else "")


class ConvTranspose2d(TransposedConvolution):
    """Two-dimensional transposed convolution: each pixel of x is spread over a window of y.

    y[n, o, i·stride + u·dilation − padding, …] = b[o] + Σ_{c, i, j, u, v} W[c, o, u, v] ·
    x[n, c, i, j], where c runs over the input channels of o's group: what the pullback of a
    `Conv2d` from O to C channels with the same weight makes of x as its dy.

    Args:
        in_channels: channels of the input, C.
        out_channels: channels of the output, O.
        kernel_size: height and width of the window, an int or a pair.
        stride: pixels of y from one window to the next, an int or a pair.
        padding: rows and columns that are cut off y on both sides, an int or a pair.
        output_padding: rows and columns that y has more at the bottom and the right, an int or a
            pair, less than stride or dilation: of the sizes that a convolution with this stride
            makes equal it chooses one.
        groups: parts that channels are split into, each by itself. It must divide C and O.
        bias: whether to add b.
        dilation: pixels from one element of the window to the next, an int or a pair.

    Shapes: x (N, C, H, W), y (N, O, H', W') with H' = (H − 1)·stride − 2·padding + dilation·(kh −
    1) + output_padding + 1; params ``weight`` (C, O/groups, kh, kw), ``bias`` (O,), both drawn
    uniformly from ±1/√(O/groups·kh·kw). The result has x's dtype, which must be the parameters'.

    Source: Zeiler et al., "Deconvolutional networks", 2010; Dumoulin and Visin, "A guide to
    convolution arithmetic for deep learning", 2016.
    """


class ConvTranspose1d(OnSequences, TransposedConvolution):
    """One-dimensional transposed convolution: each place of x is spread over a window of y.

    y[n, o, i·stride + u·dilation − padding] = b[o] + Σ_{c, i, u} W[c, o, u] · x[n, c, i], where c
    runs over the input channels of o's group: what a `Conv1d`'s pullback makes of x as its dy.

    Arguments are those of `ConvTranspose2d`; sizes are one number.

    Shapes: x (N, C, L), y (N, O, L') with L' = (L − 1)·stride − 2·padding + dilation·(k − 1) +
    output_padding + 1; params ``weight`` (C, O/groups, k), ``bias`` (O,), both drawn uniformly from
    ±1/√(O/groups·k). The result has x's dtype, which must be the parameters'.
    """
