"""Batch normalisation: statistics over the samples of a batch."""

from math import prod
from typing import Any

from portanet.backend import Array
from portanet.checks import flag, integer, number
from portanet.nn.context import Context, Gradients, Pullback
from portanet.nn.initialization import Ones, Zeros
from portanet.nn.layer import Layer


class _BatchNorm(Layer):
    couples_samples = True
    ndims: tuple[int, ...]
    shape: str

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        self.num_features = integer("num_features", num_features)
        self.eps = number("eps", eps)
        self.momentum = None if momentum is None else number("momentum", momentum, high=1.0)
        if flag("affine", affine):
            self.add_parameter("weight", (num_features,), Ones())
            self.add_parameter("bias", (num_features,), Zeros())
        if flag("track_running_stats", track_running_stats):
            self.add_buffer("running_mean", (num_features,), 0.0)
            self.add_buffer("running_var", (num_features,), 1.0)
            self.add_buffer("num_batches_tracked", (), 0.0, dtype="int64")

    def vjp(self, x: Array, ctx: Context) -> tuple[Array, Pullback]:
        """Return y and the pullback, which keeps x and the statistics of each channel."""
        params, buffers = self.own_params, self.own_buffers
        xp = self.accept(x, *params.values(), *buffers.values()).xp
        if x.ndim not in self.ndims or x.shape[1] != self.num_features:
            expected = self.shape.replace("C", str(self.num_features))
            self.fail(f"expected x of shape {expected}, got {tuple(x.shape)}")
        axes = tuple(a for a in range(x.ndim) if a != 1)
        per_channel = tuple(-1 if a == 1 else 1 for a in range(x.ndim))
        needs_input_grad = ctx.needs_input_grad
        of_batch = ctx.training or not buffers
        count = prod(x.shape) // self.num_features  # values per channel

        if of_batch:
            if count < 2:
                self.fail(f"needs more than one value per channel, got shape {tuple(x.shape)}")
            mean = xp.mean(x, axis=axes, keepdims=True)
            var = xp.mean((x - mean) ** 2, axis=axes, keepdims=True)
            if ctx.training and buffers:
                self._track(ctx, xp, mean, var * (count / (count - 1)))
        else:
            mean = xp.reshape(buffers["running_mean"], per_channel)
            var = xp.reshape(buffers["running_var"], per_channel)
        inverse = 1.0 / xp.sqrt(var + self.eps)
        weight = xp.reshape(params["weight"], per_channel) if params else None

        y = (x - mean) * (inverse if weight is None else inverse * weight)
        if weight is not None:
            y += xp.reshape(params["bias"], per_channel)

        def pullback(dy: Array) -> tuple[Array, Gradients]:
            normal = (x - mean) * inverse
            sum_dy = xp.sum(dy, axis=axes, keepdims=True)
            sum_dy_normal = xp.sum(dy * normal, axis=axes, keepdims=True)
            grads = {}
            if weight is not None:
                grads["weight"] = xp.reshape(sum_dy_normal, (-1,))
                grads["bias"] = xp.reshape(sum_dy, (-1,))
            if not needs_input_grad:
                return None, grads
            dx = dy
            if of_batch:  # the statistics depend on x, too
                dx = dy - sum_dy / count - normal * (sum_dy_normal / count)
            return dx * (inverse if weight is None else inverse * weight), grads

        return y, pullback

    def _track(self, ctx: Context, xp: Any, mean: Array, var: Array) -> None:
        """Note the new running statistics; a layer used twice in a pass continues its own."""
        new = {n: ctx.updates.get((self, n), array) for n, array in self.own_buffers.items()}
        seen: Array = new["num_batches_tracked"]
        seen = seen + 1
        factor = self.momentum
        if factor is None:  # the mean over all batches so far
            factor = 1.0 / xp.astype(seen, mean.dtype)
        for n, value in (("running_mean", mean), ("running_var", var)):
            new[n] = new[n] + (xp.reshape(value, (-1,)) - new[n]) * factor
        new["num_batches_tracked"] = seen
        ctx.updates.update({(self, n): array for n, array in new.items()})

    def extra_repr(self) -> str:
        """Return the arguments that `repr` shows."""
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}"


class BatchNorm1d(_BatchNorm):
    """Batch normalisation over the batch and the length: y = w (x − mean) / √(var + eps) + b.

    In training, mean and var (biased) are the batch's for each channel, and the running statistics
    move towards them: running ← (1 − momentum) · running + momentum · new, the new variance
    unbiased. In inference the running statistics are used.

    Args:
        num_features: channels, C.
        eps: added to the variance.
        momentum: the weight of the new value in the running statistics; None takes the mean over
            all batches.
        affine: whether to scale by w and shift by b.
        track_running_stats: whether to keep running statistics; without them the batch's are used
            in inference, too.

    Shapes: x and y (N, C) or (N, C, L); params ``weight`` (C,), starting at 1, and ``bias`` (C,),
    at 0; buffers ``running_mean`` (C,), ``running_var`` (C,), ``num_batches_tracked`` ().

    Raises ValueError in training where a channel has a single value. Source: Ioffe and Szegedy,
    "Batch normalization: accelerating deep network training by reducing internal covariate shift",
    2015.
    """

    ndims, shape = (2, 3), "(N, C) or (N, C, L)"


class BatchNorm2d(_BatchNorm):
    """Batch normalisation over the batch, height and width: y = w (x − mean) / √(var + eps) + b.

    Statistics, arguments, parameters, buffers and errors are those of `BatchNorm1d`, with one mean
    and one variance for each channel of the images.

    Shapes: x and y (N, C, H, W). Source: Ioffe and Szegedy, 2015.
    """

    ndims, shape = (4,), "(N, C, H, W)"
