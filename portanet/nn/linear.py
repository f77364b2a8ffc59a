"""The fully connected layer."""

from portanet.backend import Array
from portanet.checks import flag, integer
from portanet.nn.context import Context, Gradients, Pullback
from portanet.nn.initialization import FanInUniform
from portanet.nn.layer import Layer
from portanet.sums import total


class Linear(Layer):
    """Weighted sums of the features: y = x Wᵀ + b.

    Args:
        in_features: features of each input sample, F.
        out_features: features of each output sample, G.
        bias: whether to add b.

    Shapes: x (…, F), y (…, G); params ``weight`` (G, F), ``bias`` (G,), both drawn uniformly from
    ±1/√F. The result has x's dtype, which must be the parameters'.

    Gradients, with samples in rows: dx = dy W, dW = dyᵀ x, db = Σ dy.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        self.in_features = integer("in_features", in_features)
        self.out_features = integer("out_features", out_features)
        fans = {"fan_in": in_features, "fan_out": out_features}
        self.add_parameter("weight", (out_features, in_features), FanInUniform(), **fans)
        if flag("bias", bias):
            self.add_parameter("bias", (out_features,), FanInUniform(), **fans)

    def vjp(self, x: Array, ctx: Context) -> tuple[Array, Pullback]:
        """Return y and the pullback, which keeps x."""
        params = self.own_params
        weight, bias = params["weight"], params.get("bias")
        xp = self.accept(x, weight).xp
        if x.shape[-1:] != (self.in_features,):
            self.fail(f"expected x of shape (…, {self.in_features}), got {tuple(x.shape)}")
        rows = x if x.ndim == 2 else xp.reshape(x, (-1, x.shape[-1]))
        needs_input_grad = ctx.needs_input_grad
        lead = x.shape[:-1]

        # Samples stand in the columns of every product, so the batch stays innermost in memory.
        columns = weight @ rows.T
        if bias is not None:
            columns += bias[:, None]
        y = columns.T if x.ndim == 2 else xp.reshape(columns.T, (*lead, columns.shape[0]))

        def pullback(dy: Array) -> tuple[Array, Gradients]:
            d_columns = (dy if dy.ndim == 2 else xp.reshape(dy, (-1, dy.shape[-1]))).T
            grads = {"weight": d_columns @ rows}
            if bias is not None:
                grads["bias"] = xp.reshape(total(xp, d_columns, (1,)), (-1,))
            if not needs_input_grad:
                return None, grads
            dx = (weight.T @ d_columns).T
            return (dx if dy.ndim == 2 else xp.reshape(dx, (*lead, dx.shape[1]))), grads

        return y, pullback

    def extra_repr(self) -> str:
        """Return the arguments that `repr` shows."""
        bias = "bias" in self._parameters
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={bias}"
