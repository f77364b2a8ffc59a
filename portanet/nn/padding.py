"""Borders around images, as layers of their own."""

from portanet.backend import Array
from portanet.checks import lengths
from portanet.im2col import LONGEST, Pads, absurd, batch_first, batch_last, crop, pad
from portanet.nn.border import extend, fold
from portanet.nn.context import Context, Gradients, Pullback
from portanet.nn.window import ImageLayer

Border = int | tuple[int, int, int, int]


class Pad2d(ImageLayer):
    """What the layers share: how wide their border is, and what becomes of its gradient."""

    mode: str | None = None  # whose pixels the border's are, see `BORDERS`; None: zeros

    def __init__(self, padding: Border) -> None:
        four = (padding,) * 4 if not isinstance(padding, tuple | list) else padding
        if len(four) != 4:
            self.fail(f"padding must be an int, or left, right, top and bottom, got {padding}")
        left, right, top, bottom = lengths("padding", tuple(four))
        if max(four) > LONGEST:
            self.fail(f"padding must be at most {LONGEST} on each side, got {padding}")
        self.padding: Pads = ((top, bottom), (left, right))

    def vjp(self, x: Array, ctx: Context) -> tuple[Array, Pullback]:
        """Return y and the pullback, which keeps nothing of x."""
        xp = self.accept(x).xp
        self.require_images(x)
        padding, mode, (height, width) = self.padding, self.mode, x.shape[2:]
        if slip := absurd((height, width), (height + sum(padding[0]), width + sum(padding[1]))):
            self.fail(slip)
        try:
            image = batch_last(xp, x)
            y = pad(xp, image, padding) if mode is None else extend(xp, image, padding, mode)
        except ValueError as error:
            self.fail(str(error))

        def pullback(dy: Array) -> tuple[Array, Gradients]:
            d = batch_last(xp, dy)
            if mode is None:
                return batch_first(xp, crop(d, padding, height, width)), {}
            return batch_first(xp, fold(xp.asarray(d, copy=True), padding, mode)), {}

        return batch_first(xp, y), pullback

    def extra_repr(self) -> str:
        """Return the arguments that `repr` shows."""
        (top, bottom), (left, right) = self.padding
        return f"padding={(left, right, top, bottom)}"


class ZeroPad2d(Pad2d):
    """A border of zeros around each image: y[n, c, i + top, j + left] = x[n, c, i, j].

    Convolutions pad for themselves; the layer is for borders that differ from side to side.

    Args:
        padding: the pixels that are added on every side, or (left, right, top, bottom).

    Shapes: x (N, C, H, W), y (N, C, top + H + bottom, left + W + right), in x's dtype; without
    padding, x itself.
    """


class ReflectionPad2d(Pad2d):
    """A border in which each image is mirrored at its outermost pixels, which are not repeated.

    Args:
        padding: the pixels that are added on every side, or (left, right, top, bottom).

    Shapes: as `ZeroPad2d`. The border's gradients are added to those of the pixels that it copies.
    Raises ValueError where the padding is wider than H − 1, or W − 1.
    """

    mode = "reflect"


class ReplicationPad2d(Pad2d):
    """A border of the outermost pixels, each repeated.

    Args:
        padding: the pixels that are added on every side, or (left, right, top, bottom).

    Shapes: as `ZeroPad2d`. The border's gradients are added to those of the pixels that it copies.
    """

    mode = "replicate"
