"""Normalizations within each sample: the same in training and in inference, for any batch size."""

from collections.abc import Sequence
from math import prod

from portanet.backend import Array
from portanet.checks import flag, integer, number
from portanet.nn.context import Context, Gradients, Pullback
from portanet.nn.initialization import Ones, Zeros
from portanet.nn.layer import Layer
from portanet.random import Shape
from portanet.sums import total

Stages = tuple[tuple[int, ...], ...]  # axes in the order in which `total` sums over them
Layout = tuple[Shape, Stages, Shape, Stages]


class _SampleNorm(Layer):
    eps: float

    def _layout(self, shape: Shape) -> Layout:
        """Return in which shapes x meets its statistics and parameters meet x, with their axes.

        Each shape is followed by the axes over which a statistic is taken, or a parameter shared.
        """
        raise NotImplementedError

    def vjp(self, x: Array, ctx: Context) -> tuple[Array, Pullback]:
        """Return y and the pullback, which keeps the normalized x and the scales."""
        params, needs_input_grad = self.own_params, ctx.needs_input_grad
        xp, shape = self.accept(x, *params.values()).xp, tuple(x.shape)
        split, within, spread, sharing = self._layout(shape)
        count = prod(split[a] for axes in within for a in axes)
        spreads = {n: xp.reshape(p, spread) for n, p in params.items()}
        weight, bias = spreads.get("weight"), spreads.get("bias")

        centered = xp.reshape(x, split)
        centered = centered - total(xp, centered, *within) / count
        var = total(xp, centered * centered, *within) / count
        inverse = 1.0 / xp.sqrt(var + self.eps)
        normal = centered * inverse
        y = xp.reshape(normal, shape)
        if weight is not None:
            y = y * weight
        if bias is not None:
            y = y + bias

        def pullback(dy: Array) -> tuple[Array, Gradients]:
            grads = {}
            if weight is not None:
                products = total(xp, dy * xp.reshape(normal, shape), *sharing)
                grads["weight"] = xp.reshape(products, params["weight"].shape)
            if bias is not None:
                grads["bias"] = xp.reshape(total(xp, dy, *sharing), params["bias"].shape)
            if not needs_input_grad:
                return None, grads
            d = xp.reshape(dy if weight is None else dy * weight, split)
            along = total(xp, d * normal, *within) / count
            dx = (d - total(xp, d, *within) / count - normal * along) * inverse
            return xp.reshape(dx, shape), grads

        return y, pullback


class LayerNorm(_SampleNorm):
    """Normalization over the last axes: y = w (x − mean) / √(var + eps) + b.

    Mean and var (biased) are those of each sample, or of each position in it. With
    n = (x − mean) / √(var + eps) and d = w dy: dx = (d − mean(d) − n mean(d n)) / √(var + eps),
    dw = Σ dy n, db = Σ dy.

    Args:
        normalized_shape: the lengths of the axes; an int for the last one alone.
        eps: added to the variance.
        elementwise_affine: whether to scale by w, and to shift by b.
        bias: whether to shift by b, too.

    Shapes: x and y (…, *normalized_shape); params ``weight``, starting at 1, and ``bias``, at 0, of
    shape normalized_shape. Source: Ba et al., "Layer normalization", 2016.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ) -> None:
        sizes = normalized_shape if isinstance(normalized_shape, Sequence) else (normalized_shape,)
        if not sizes:
            self.fail("normalized_shape must name at least one axis")
        self.normalized_shape = tuple(integer("normalized_shape", size) for size in sizes)
        self.eps = number("eps", eps)
        bias = flag("bias", bias)
        if flag("elementwise_affine", elementwise_affine):
            self.add_parameter("weight", self.normalized_shape, Ones())
            if bias:
                self.add_parameter("bias", self.normalized_shape, Zeros())

    def _layout(self, shape: Shape) -> Layout:
        ndim, sizes = len(shape), self.normalized_shape
        lead = ndim - len(sizes)
        if lead < 0 or shape[lead:] != sizes:
            expected = ", ".join(map(str, sizes))
            self.fail(f"expected x of shape (…, {expected}), got {shape}")
        one_by_one = tuple((a,) for a in range(ndim))
        return shape, one_by_one[lead:], (1,) * lead + sizes, one_by_one[:lead][::-1]

    def extra_repr(self) -> str:
        """Return the arguments that `repr` shows."""
        return f"{self.normalized_shape}, eps={self.eps}"


class GroupNorm(_SampleNorm):
    """Normalization over groups of channels: y = w (x − mean) / √(var + eps) + b.

    Mean and var (biased) are those of each sample's C/G channels of a group, over all their
    positions; w and b belong to channels. Gradients are those of `LayerNorm`. One group is a
    layer normalization of the whole sample, C groups are an instance normalization. A group of a
    single number has no spread: it becomes 0, then b (in training, PyTorch refuses it).

    Args:
        num_groups: groups, G, which must divide C.
        num_channels: channels, C.
        eps: added to the variance.
        affine: whether to scale by w and shift by b.

    Shapes: x and y (N, C, …); params ``weight`` (C,), starting at 1, and ``bias`` (C,), at 0.
    Source: Wu and He, "Group normalization", 2018.
    """

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True
    ) -> None:
        self.num_groups = integer("num_groups", num_groups)
        self.num_channels = integer("num_channels", num_channels)
        if num_channels % num_groups:
            self.fail(f"num_groups={num_groups} must divide num_channels={num_channels}")
        self.eps = number("eps", eps)
        if flag("affine", affine):
            self.add_parameter("weight", (num_channels,), Ones())
            self.add_parameter("bias", (num_channels,), Zeros())

    def _layout(self, shape: Shape) -> Layout:
        groups, channels = self.num_groups, self.num_channels
        rest = shape[2:]
        if shape[1:2] != (channels,) or 0 in rest:
            self.fail(f"expected x of shape (N, {channels}, …), got {shape}")
        split = (shape[0], groups, channels // groups, *rest)
        within = tuple((a,) for a in range(2, len(split)))
        spread = (1, channels, *(1,) * len(rest))
        return split, within, spread, ((0, *range(2, len(shape))),)

    def extra_repr(self) -> str:
        """Return the arguments that `repr` shows."""
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}"


class InstanceNorm(GroupNorm):
    """A normalization of each channel of each sample by itself: `GroupNorm` with a channel a group.

    PyTorch's `momentum` and `track_running_stats`, which are rarely used, are not there.
    """

    axes: tuple[str, ...]

    def __init__(self, num_features: int, eps: float = 1e-5, *, affine: bool = False) -> None:
        channels = integer("num_features", num_features)
        super().__init__(channels, channels, eps, affine)

    def _layout(self, shape: Shape) -> Layout:
        if len(shape) != 2 + len(self.axes):
            expected = ", ".join(("N", str(self.num_channels), *self.axes))
            self.fail(f"expected x of shape ({expected}), got {shape}")
        return super()._layout(shape)

    def extra_repr(self) -> str:
        """Return the arguments that `repr` shows."""
        return f"{self.num_channels}, eps={self.eps}"


class InstanceNorm2d(InstanceNorm):
    """Normalization of each channel of each image: y = w (x − mean) / √(var + eps) + b.

    Mean and var (biased) are those of a channel of one image, over its pixels; in training and in
    inference alike. It is ``GroupNorm(C, C, affine=False)``, whose gradients it has.

    Args:
        num_features: channels, C.
        eps: added to the variance.
        affine: whether to scale by w and shift by b; not by default.

    Shapes: x and y (N, C, H, W); params, where affine, ``weight`` (C,), starting at 1, and ``bias``
    (C,), at 0. A single pixel has no spread: it becomes 0, then b. Source: Ulyanov et al.,
    "Instance normalization: the missing ingredient for fast stylization", 2016.
    """

    axes = ("H", "W")


class InstanceNorm1d(InstanceNorm):
    """Normalization of each channel of each sequence: y = w (x − mean) / √(var + eps) + b.

    Arguments and gradients are those of `InstanceNorm2d`.

    Shapes: x and y (N, C, L); params, where affine, ``weight`` (C,) and ``bias`` (C,).
    """

    axes = ("L",)
