"""Channels become pixels, and pixels channels: nothing is computed."""

from typing import Any

from portanet.backend import Array
from portanet.checks import integer
from portanet.im2col import batch_first, batch_last
from portanet.nn.context import Context, Pullback
from portanet.nn.window import ImageLayer


class PixelShuffle(ImageLayer):
    """Images r times as large, from r² times as many channels.

    y[n, c, r·i + u, r·j + v] = x[n, c·r² + u·r + v, i, j]. After a convolution that computes r²
    times the channels it is an upsampling that is trained.

    Args:
        upscale_factor: r.

    Shapes: x (N, C·r², H, W), y (N, C, H·r, W·r), in x's dtype. Source: Shi et al., "Real-time
    single image and video super-resolution using an efficient sub-pixel convolutional neural
    network", 2016.
    """

    def __init__(self, upscale_factor: int) -> None:
        self.upscale_factor = integer("upscale_factor", upscale_factor)

    def vjp(self, x: Array, ctx: Context) -> tuple[Array, Pullback]:
        """Return y and the pullback, which keeps nothing of x."""
        xp, r = self.accept(x).xp, self.upscale_factor
        self.require_images(x)
        if x.shape[1] % r**2:
            self.fail(f"expected channels in multiples of {r**2}, got x of {tuple(x.shape)}")
        return spread(xp, x, r), lambda dy: (gathered(xp, dy, r), {})

    def extra_repr(self) -> str:
        """Return the arguments that `repr` shows."""
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(ImageLayer):
    """Images r times as small, with r² times as many channels: what `PixelShuffle` undoes.

    y[n, c·r² + u·r + v, i, j] = x[n, c, r·i + u, r·j + v].

    Args:
        downscale_factor: r.

    Shapes: x (N, C, H·r, W·r), y (N, C·r², H, W), in x's dtype.
    """

    def __init__(self, downscale_factor: int) -> None:
        self.downscale_factor = integer("downscale_factor", downscale_factor)

    def vjp(self, x: Array, ctx: Context) -> tuple[Array, Pullback]:
        """Return y and the pullback, which keeps nothing of x."""
        xp, r = self.accept(x).xp, self.downscale_factor
        self.require_images(x)
        if x.shape[2] % r or x.shape[3] % r:
            self.fail(f"expected height and width in multiples of {r}, got x of {tuple(x.shape)}")
        return gathered(xp, x, r), lambda dy: (spread(xp, dy, r), {})

    def extra_repr(self) -> str:
        """Return the arguments that `repr` shows."""
        return f"downscale_factor={self.downscale_factor}"


def spread(xp: Any, x: Array, r: int) -> Array:
    """Return channels (N, C·r², H, W) as pixels (N, C, H·r, W·r)."""
    n, c, h, w = x.shape
    parts = xp.reshape(batch_last(xp, x), (c // r**2, r, r, h, w, n))
    pixels = xp.permute_dims(parts, (0, 3, 1, 4, 2, 5))
    return batch_first(xp, xp.reshape(pixels, (c // r**2, h * r, w * r, n)))


def gathered(xp: Any, x: Array, r: int) -> Array:
    """Return pixels (N, C, H·r, W·r) as channels (N, C·r², H, W)."""
    n, c, h, w = x.shape
    parts = xp.reshape(batch_last(xp, x), (c, h // r, r, w // r, r, n))
    channels = xp.permute_dims(parts, (0, 2, 4, 1, 3, 5))
    return batch_first(xp, xp.reshape(channels, (c * r**2, h // r, w // r, n)))
