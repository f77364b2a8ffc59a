"""Images and sequences of another size, by interpolation."""

from math import floor
from typing import TYPE_CHECKING, Any, Literal

from portanet.backend import Array
from portanet.checks import flag, integer, number, word
from portanet.im2col import absurd, batch_first, batch_last
from portanet.nn.context import Context, Gradients, Pullback
from portanet.nn.layer import Layer
from portanet.nn.resampling import Scale, resampled

if TYPE_CHECKING:  # importing it takes 5 ms
    from fractions import Fraction

AXES = {"nearest": ("L", "H, W"), "linear": ("L",), "bilinear": ("H, W",)}  # that modes are for


class Upsample(Layer):
    """Larger images or sequences (or smaller ones), whose pixels are taken from those around.

    Along each axis pixel i of y lies at place s among those of x, and f is the size before over the
    size after. For ``"nearest"`` s = i f and y = x[⌊s⌋]. For the other modes s = (i + ½) f − ½, but
    at least 0, and with w = s − ⌊s⌋: y = (1 − w) x[⌊s⌋] + w x[⌊s⌋ + 1]. An axis whose size stays as
    it is stays so.

    Args:
        size: L', or H' and W', an int or a pair.
        scale_factor: instead, how many times as many pixels y has, a number or a pair: H' =
            ⌊scale_factor·H⌋, and f is 1 / scale_factor.
        mode: ``"nearest"``; ``"linear"`` for sequences, ``"bilinear"`` for images.
        align_corners: for the latter two, whether the corners stay where they are: s = i f with f =
            (size before − 1) / (size after − 1); by default not.

    Shapes: x (N, C, L) or (N, C, H, W), y (N, C, L') or (N, C, H', W'), in x's dtype; of x's size,
    a view of x. The pullback shares each pixel's gradient out with the same weights.

    Source of its use in place of a transposed convolution: Odena et al., "Deconvolution and
    checkerboard artifacts", 2016.
    """

    def __init__(
        self,
        size: int | tuple[int, ...] | None = None,
        scale_factor: float | tuple[float, ...] | None = None,
        mode: Literal["nearest", "linear", "bilinear"] = "nearest",
        align_corners: bool | None = None,
    ) -> None:
        self.size, self.scale_factor = size, scale_factor
        if (size is None) == (scale_factor is None):
            self.fail(f"expected size or scale_factor, got {size} and {scale_factor}")
        for length in () if size is None else each(size):
            integer("size", length)
        for scale in () if scale_factor is None else each(scale_factor):
            if _fraction(number("scale_factor", scale)) == 0:
                self.fail(f"scale_factor must be at least 1e-6, got {scale_factor}")
        self.mode = word("mode", mode, *AXES)
        self.align_corners = None if align_corners is None else flag("align_corners", align_corners)
        if mode == "nearest" and align_corners is not None:
            self.fail('align_corners is for mode="linear" and "bilinear", not for "nearest"')

    def vjp(self, x: Array, ctx: Context) -> tuple[Array, Pullback]:
        """Return y and the pullback, which keeps nothing of x."""
        xp, sequences = self.accept(x).xp, x.ndim == 3
        rows, columns = self._scales(tuple(x.shape))
        # Columns first: of the many pixels afterward, whole rows lie in one run of memory.
        images = batch_last(xp, xp.expand_dims(x, axis=2) if sequences else x)
        across, back_across = resampled(xp, images, columns, 1)
        y, back_down = resampled(xp, across, rows, 0)
        y = batch_first(xp, y)

        def pullback(dy: Array) -> tuple[Array, Gradients]:
            d_images = batch_last(xp, xp.expand_dims(dy, axis=2) if sequences else dy)
            dx = batch_first(xp, back_across(back_down(d_images)))
            return (xp.squeeze(dx, axis=2) if sequences else dx), {}

        return (xp.squeeze(y, axis=2) if sequences else y), pullback

    def _scales(self, shape: tuple[int, ...]) -> tuple[Scale, Scale]:
        """Return what becomes of the height and the width, or raise ValueError for x's shape."""
        before, kinds = shape[2:], AXES[self.mode]
        if len(before) not in [len(axes.split()) for axes in kinds] or 0 in before:
            expected = " or ".join(f"(N, C, {axes})" for axes in kinds)
            self.fail(f"expected x of shape {expected}, got {shape}")
        given: Any = self.scale_factor if self.size is None else self.size
        numbers = each(given, len(before))
        if len(numbers) != len(before):
            self.fail(f"{given} is for {len(numbers)} axes, but x has the shape {shape}")
        factors = [_fraction(n) for n in numbers]
        if self.size is not None:
            factors = [n / m for n, m in zip(factors, before, strict=True)]
        after = tuple(floor(n * factor) for n, factor in zip(before, factors, strict=True))
        if 0 in after:
            self.fail(f"scale_factor {given} leaves nothing of {before}")
        if slip := absurd((1, *before)[-2:], (1, *after)[-2:]):  # type: ignore[arg-type]
            self.fail(slip)
        scales = map(self._scale, before, after, factors)
        return (Scale(1, 1, _fraction(0), _fraction(1), False), *scales)[-2:]  # type: ignore[return-value]

    def _scale(self, before: int, after: int, factor: "Fraction") -> Scale:
        start, step, between = _fraction(0), 1 / factor, self.mode != "nearest"
        if self.align_corners:
            step = _fraction(before - 1) / max(after - 1, 1)
        elif between:
            start = (step - 1) / 2
        return Scale(before, after, start, step, between)

    def extra_repr(self) -> str:
        """Return the arguments that `repr` shows."""
        names = ("size", "scale_factor", "mode", "align_corners")
        given = {name: getattr(self, name) for name in names}
        return ", ".join(f"{name}={value!r}" for name, value in given.items() if value is not None)


def each(given: Any, axes: int = 1) -> tuple[Any, ...]:
    """Return a number for each axis, from one for all or one for each."""
    return tuple(given) if isinstance(given, tuple | list) else (given,) * axes


def _fraction(value: float) -> "Fraction":
    """Return the fraction that was meant: 0.1 is none that a float can hold."""
    from fractions import Fraction

    return Fraction(float(value)).limit_denominator(10**6)
