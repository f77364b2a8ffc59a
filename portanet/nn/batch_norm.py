"""Batch normalization: statistics over the samples of a batch."""

from math import prod

from portanet.backend import Array, Backend
from portanet.checks import flag, integer, number
from portanet.nn.context import Context, Gradients, Pullback
from portanet.nn.initialization import Ones, Zeros
from portanet.nn.layer import Layer


def _moved(old: Array, new: Array, scale: float, factor: float | Array) -> Array:
    return old + (new * scale - old) * factor


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
        backend = self.accept(x, *params.values(), *buffers.values())
        if x.ndim not in self.ndims or x.shape[1] != self.num_features:
            expected = self.shape.replace("C", str(self.num_features))
            self.fail(f"expected x of shape {expected}, got {tuple(x.shape)}")
        needs_input_grad, affine = ctx.needs_input_grad, bool(params)
        of_batch = ctx.training or not buffers

        if of_batch:
            count = prod(x.shape) // self.num_features  # values per channel
            if count < 2:
                self.fail(f"needs more than one value per channel, got shape {tuple(x.shape)}")
            mean, var = backend.moments(x)
            if buffers:
                self._track(ctx, backend, mean, var, count)
        else:
            mean, var = buffers["running_mean"], buffers["running_var"]
        weight, bias = params.get("weight"), params.get("bias")
        y, back = backend.normalize(x, mean, var, self.eps, weight, bias, of_batch)

        def pullback(dy: Array) -> tuple[Array, Gradients]:
            dx, d_weight, d_bias = back(dy, needs_input_grad)
            return dx, {"weight": d_weight, "bias": d_bias} if affine else {}

        return y, pullback

    def _track(self, ctx: Context, backend: Backend, mean: Array, var: Array, count: int) -> None:
        """Note the new running statistics; a layer used twice in a pass continues its own."""
        new = {n: ctx.updates.get((self, n), array) for n, array in self.own_buffers.items()}
        seen: Array = new["num_batches_tracked"]
        seen = seen + 1
        factor = self.momentum
        if factor is None:  # the mean over all batches so far
            factor = 1.0 / backend.xp.astype(seen, mean.dtype)
        moved, unbiased = backend.fused(_moved), count / (count - 1)
        new["running_mean"] = moved(new["running_mean"], mean, 1.0, factor)
        new["running_var"] = moved(new["running_var"], var, unbiased, factor)
        new["num_batches_tracked"] = seen
        ctx.updates.update({(self, n): array for n, array in new.items()})

    def extra_repr(self) -> str:
        """Return the arguments that `repr` shows."""
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}"


class BatchNorm1d(_BatchNorm):
    """Batch normalization over the batch and the length: y = w (x − mean) / √(var + eps) + b.

    In training, mean and var (biased) are the batch's for each channel, and the running statistics
    move toward them: running ← (1 − momentum) · running + momentum · new, the new variance
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
    """Batch normalization over the batch, height and width: y = w (x − mean) / √(var + eps) + b.

    Statistics, arguments, parameters, buffers and errors are those of `BatchNorm1d`, with one mean
    and one variance for each channel of the images.

    Shapes: x and y (N, C, H, W). Source: Ioffe and Szegedy, 2015.
    """

    ndims, shape = (4,), "(N, C, H, W)"
