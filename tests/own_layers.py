"""Layers as somebody might write their own: right ones, and ones with a single fault each."""

from threading import current_thread, main_thread
from typing import Any

import numpy as np

from portanet import backend_of, nn

# --- right ---------------------------------------------------------------------------------------


class Squared(nn.Layer):
    """y = w² x, with one weight for each feature."""

    factor = 2.0

    def __init__(self) -> None:
        self.add_parameter("weight", (4,), nn.Ones())

    def vjp(self, x: Any, ctx: nn.Context) -> Any:
        w, factor = self.own_params["weight"], self.factor
        xp = self.accept(x, w).xp

        def pullback(dy: Any) -> Any:
            return dy * (w * w), {"weight": xp.sum(dy * x, axis=0) * w * factor}

        return x * (w * w), pullback


class Product(nn.Layer):
    """y = x Wᵀ, with a square matrix or another."""

    def __init__(self, rows: int = 4, columns: int = 4) -> None:
        fans = {"fan_in": columns, "fan_out": rows}
        self.add_parameter("weight", (rows, columns), nn.FanInUniform(), **fans)

    def vjp(self, x: Any, ctx: nn.Context) -> Any:
        w = self.own_params["weight"]
        gradients = self.gradients
        self.accept(x, w)
        return x @ w.T, lambda dy: gradients(x, w, dy)

    @staticmethod
    def gradients(x: Any, w: Any, dy: Any) -> Any:
        return dy @ w, {"weight": dy.T @ x}


class Standardized(nn.Layer):
    """y = (x − mean) / √(var + ε), over the batch."""

    couples_samples = True
    through_mean = 1.0

    def vjp(self, x: Any, ctx: nn.Context) -> Any:
        xp, through_mean = self.accept(x).xp, self.through_mean
        mean = xp.mean(x, axis=0)
        inverse = 1.0 / xp.sqrt(xp.mean((x - mean) ** 2, axis=0) + 1e-5)
        y = (x - mean) * inverse

        def pullback(dy: Any) -> Any:
            dx = dy - y * xp.mean(dy * y, axis=0) - through_mean * xp.mean(dy, axis=0)
            return dx * inverse, {}

        return y, pullback


class Centered(nn.Layer):
    """y = x − m, where m follows the means of the batches."""

    def __init__(self) -> None:
        self.add_buffer("mean", (4,), 0.0)
        self.add_buffer("batches", (), 0.0, dtype="int64")

    def vjp(self, x: Any, ctx: nn.Context) -> Any:
        m, batches = self.own_buffers["mean"], self.own_buffers["batches"]
        xp = self.accept(x, m).xp
        if ctx.training:
            ctx.updates[self, "mean"] = self.followed(0.9 * m + 0.1 * xp.mean(x, axis=0))
            ctx.updates[self, "batches"] = batches + 1
        return x - m, lambda dy: (dy, {})

    def followed(self, mean: Any) -> Any:
        return mean


class Noisy(nn.Layer):
    """y = x · mask in training, the mask uniform in [0, 1) and drawn from the pass's key."""

    def vjp(self, x: Any, ctx: nn.Context) -> Any:
        backend = self.accept(x)
        if not ctx.training:
            return x, lambda dy: (dy, {})
        mask = backend.asarray(self.draw(ctx, x.shape), str(x.dtype).rpartition(".")[2])
        return x * mask, lambda dy: (dy * mask, {})

    def draw(self, ctx: nn.Context, shape: Any) -> Any:
        assert ctx.rng is not None
        return ctx.rng.uniform(shape)


class Skip(nn.Layer):
    """y = x + body(x): a layer with children."""

    def __init__(self) -> None:
        self.body = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Dropout(0.3), Squared())

    def vjp(self, x: Any, ctx: nn.Context) -> Any:
        y, inner = ctx.run("body", self.body, x)

        def pullback(dy: Any) -> Any:
            dx, grads = inner(dy)
            return dy + dx, {f"body.{n}": gradient for n, gradient in grads.items()}

        return x + y, pullback


class Cyclic(nn.Layer):
    """y = 2 x; the layer holds a method of its own."""

    def __init__(self) -> None:
        self.double = self.twice

    def vjp(self, x: Any, ctx: nn.Context) -> Any:
        self.accept(x)
        return self.double(x), lambda dy: (2.0 * dy, {})

    def twice(self, x: Any) -> Any:
        return 2.0 * x


class Lookup(nn.Layer):
    """y = rows of a table, one for each index in x."""

    def __init__(self) -> None:
        self.add_parameter("table", (5, 3), nn.Normal(1.0))

    def vjp(self, x: Any, ctx: nn.Context) -> Any:
        table = self.own_params["table"]
        backend = backend_of(x, table)
        xp = backend.xp

        def pullback(dy: Any) -> Any:
            return None, {"table": backend.index_add(xp.zeros_like(table), x, dy)}

        return xp.take(table, x, axis=0), pullback


class OneHot(nn.Layer):
    """Ones where the index is, of integers and without parameters."""

    def vjp(self, x: Any, ctx: nn.Context) -> Any:
        xp = backend_of(x).xp
        columns = xp.arange(5, dtype=x.dtype, device=x.device)
        return xp.astype(x[:, None] == columns, xp.float32), lambda dy: (None, {})


class Total(nn.Layer):
    """y = Σₙ xₙ, of all samples together."""

    def vjp(self, x: Any, ctx: nn.Context) -> Any:
        xp, shape = self.accept(x).xp, x.shape
        y = xp.sum(x, axis=0, keepdims=True)
        return y, lambda dy: (xp.broadcast_to(dy, shape), {})


class Pairs(nn.Layer):
    """y = 2 x, for two samples or more."""

    def vjp(self, x: Any, ctx: nn.Context) -> Any:
        self.accept(x)
        if x.shape[0] < 2:
            self.fail("needs two samples")
        return 2.0 * x, lambda dy: (2.0 * dy, {})


class KeepingColumns(nn.Layer):
    """y = 2 x, whose pullback keeps a part of something large, and a name without a value."""

    def vjp(self, x: Any, ctx: nn.Context) -> Any:
        xp = self.accept(x).xp
        columns = xp.full((3, *x.shape[:1], 5), 2.0, dtype=x.dtype, device=x.device)
        if x.shape[0] == 0:
            nothing = x

        def pullback(dy: Any, columns: Any = columns[0, :, :1]) -> Any:
            return (columns * dy if dy.shape[0] else nothing), {}

        return 2.0 * x, pullback


def make() -> nn.Layer:
    return Skip()


INSTANCE = Squared()


# --- wrong ---------------------------------------------------------------------------------------


class MissingFactor(Squared):
    factor = 1.0


class WrongSign(Squared):
    factor = -2.0


class NoGradient(Squared):
    factor = 0.0


class NotANumber(Squared):
    factor = float("nan")


class ForgottenScale(nn.Layer):
    """Multiplies by weights that begin at 1, and takes dx for dy."""

    def __init__(self) -> None:
        self.add_parameter("weight", (4,), nn.Ones())

    def vjp(self, x: Any, ctx: nn.Context) -> Any:
        w = self.own_params["weight"]
        xp = self.accept(x, w).xp
        return x * w, lambda dy: (dy, {"weight": xp.sum(dy * x, axis=0)})


class ForgottenBuffer(nn.Layer):
    """Multiplies by a buffer that begins at 1, and takes dx for dy."""

    def __init__(self) -> None:
        self.add_buffer("scale", (4,), 1.0)

    def vjp(self, x: Any, ctx: nn.Context) -> Any:
        scale = self.own_buffers["scale"]
        self.accept(x, scale)
        return x * scale, lambda dy: (dy, {})


class TransposedWeight(Product):
    @staticmethod
    def gradients(x: Any, w: Any, dy: Any) -> Any:
        return dy @ w, {"weight": x.T @ dy}


class TransposedInput(Product):
    @staticmethod
    def gradients(x: Any, w: Any, dy: Any) -> Any:
        return dy @ w.T, {"weight": dy.T @ x}


class TransposedShape(TransposedWeight):
    def __init__(self) -> None:
        super().__init__(3, 4)


class TransposedError(TransposedInput):
    def __init__(self) -> None:
        super().__init__(3, 4)


class WithoutName(Product):
    @staticmethod
    def gradients(x: Any, w: Any, dy: Any) -> Any:
        return dy @ w, {"w": dy.T @ x}


class NoPair(Product):
    @staticmethod
    def gradients(x: Any, w: Any, dy: Any) -> Any:
        return dy @ w


class DependsOnNothing(nn.Layer):
    """Is zero, with a gradient that is not."""

    def vjp(self, x: Any, ctx: nn.Context) -> Any:
        return 0.0 * x, lambda dy: (dy, {})


class WithoutTheMean(Standardized):
    through_mean = 0.0


class Undeclared(Standardized):
    couples_samples = False


class Accumulating(nn.Layer):
    """Adds its gradient up on itself, as many a teaching code does."""

    def __init__(self) -> None:
        self.add_parameter("weight", (4,), nn.Ones())
        self.sum: Any = 0.0

    def vjp(self, x: Any, ctx: nn.Context) -> Any:
        w = self.own_params["weight"]
        xp = self.accept(x, w).xp

        def pullback(dy: Any) -> Any:
            self.sum = self.sum + xp.sum(dy * x, axis=0)
            return dy * w, {"weight": self.sum}

        return x * w, pullback


class Remembering(nn.Layer):
    """Keeps its input on itself for the pullback."""

    def vjp(self, x: Any, ctx: nn.Context) -> Any:
        self.x = x
        return x * x, lambda dy: (2.0 * dy * self.x, {})


class NumpyFunction(nn.Layer):
    def vjp(self, x: Any, ctx: nn.Context) -> Any:
        y = np.tanh(x)
        return y, lambda dy: (dy * (1.0 - y * y), {})


class NumpyGradient(nn.Layer):
    def vjp(self, x: Any, ctx: nn.Context) -> Any:
        return 2.0 * x, lambda dy: (np.multiply(2.0, dy, dtype=np.float64), {})


class NumpyMethod(nn.Layer):
    def vjp(self, x: Any, ctx: nn.Context) -> Any:
        total = x.sum(axis=1, keepdims=True)
        return x * total, lambda dy: (dy * total + (dy * x).sum(axis=1, keepdims=True), {})


class Promoting(nn.Layer):
    """Multiplies by an array that is always of float64."""

    def vjp(self, x: Any, ctx: nn.Context) -> Any:
        xp = self.accept(x).xp
        two = xp.asarray([2.0], dtype=xp.float64, device=x.device)
        return x * two, lambda dy: (dy * two, {})


class PromotingGradient(Product):
    @staticmethod
    def gradients(x: Any, w: Any, dy: Any) -> Any:
        xp = backend_of(x).xp
        return dy @ w, {"weight": xp.astype(dy.T @ x, xp.float64)}


class PromotingNumber(nn.Layer):
    """Multiplies by one of NumPy's numbers."""

    def vjp(self, x: Any, ctx: nn.Context) -> Any:
        two = np.float64(2.0)
        return x * two, lambda dy: (dy * two, {})


class PromotingBuffer(Centered):
    def followed(self, mean: Any) -> Any:
        backend = backend_of(mean)
        return backend.asarray(mean, str(backend.floats[-1]).rpartition(".")[2])


class NoBuffer(Centered):
    def vjp(self, x: Any, ctx: nn.Context) -> Any:
        ctx.updates[self, "gone"] = x
        return super().vjp(x, ctx)


class ChangingBuffer(Centered):
    def followed(self, mean: Any) -> Any:
        self.buffers["mean"] = mean
        return mean


class HiddenRandom(Noisy):
    def draw(self, ctx: nn.Context, shape: Any) -> Any:
        return np.random.default_rng().uniform(size=shape)


class AlwaysRandom(nn.Layer):
    """Draws from elsewhere in both modes."""

    def vjp(self, x: Any, ctx: nn.Context) -> Any:
        xp = self.accept(x).xp
        factor = xp.asarray(np.random.default_rng().uniform(), dtype=x.dtype, device=x.device)
        return x * factor, lambda dy: (dy * factor, {})


class InPlace(nn.Layer):
    """Doubles x where it lies."""

    def vjp(self, x: Any, ctx: nn.Context) -> Any:
        x *= 2.0
        return x, lambda dy: (2.0 * dy, {})


class InPlaceBackwards(nn.Layer):
    """Doubles dy where it lies."""

    def vjp(self, x: Any, ctx: nn.Context) -> Any:
        def pullback(dy: Any) -> Any:
            dy *= 2.0
            return dy, {}

        return 2.0 * x, pullback


class KeepingItself(nn.Layer):
    scale = 2.0

    def vjp(self, x: Any, ctx: nn.Context) -> Any:
        return x * self.scale, lambda dy: (dy * self.scale, {})


class KeepingItsDefault(nn.Layer):
    scale = 2.0

    def vjp(self, x: Any, ctx: nn.Context) -> Any:
        return x * self.scale, lambda dy, *, me=self: (dy * me.scale, {})


class KeepingItsCycle(Cyclic):
    def vjp(self, x: Any, ctx: nn.Context) -> Any:
        return self.double(x), lambda dy: (self.double(dy), {})


class KeepingItsContext(Centered):
    def vjp(self, x: Any, ctx: nn.Context) -> Any:
        y, inner = super().vjp(x, ctx)
        return y, lambda dy: inner(dy) if ctx.needs_pullback else None


class KeepingItsMethod(nn.Layer):
    def vjp(self, x: Any, ctx: nn.Context) -> Any:
        return 2.0 * x, self.pull

    def pull(self, dy: Any) -> Any:
        return 2.0 * dy, {}


class Restoring(nn.Layer):
    """Doubles x where it lies, and halves it again."""

    def vjp(self, x: Any, ctx: nn.Context) -> Any:
        x *= 2.0
        y = 1.0 * x
        x /= 2.0
        return y, lambda dy: (2.0 * dy, {})


class OnTheDefaultDevice(nn.Layer):
    """Makes an array without saying where."""

    def vjp(self, x: Any, ctx: nn.Context) -> Any:
        ones = self.accept(x).xp.ones(x.shape, dtype=x.dtype)
        return x * ones, lambda dy: (dy * ones, {})


class MainThreadOnly(nn.Layer):
    def vjp(self, x: Any, ctx: nn.Context) -> Any:
        if current_thread() is not main_thread() and x[0, 0] > x[-1, -1]:
            raise RuntimeError("which thread is this?")
        return 2.0 * x, lambda dy: (2.0 * dy, {})


class WrongChild(Skip):
    def __init__(self) -> None:
        self.body = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), MissingFactor())


class WrongInInference(nn.Layer):
    def vjp(self, x: Any, ctx: nn.Context) -> Any:
        slope = 2.0 if ctx.training else 3.0
        return 2.0 * x, lambda dy: (slope * dy, {})


class WrongWithoutInputGradient(nn.Layer):
    def __init__(self) -> None:
        self.add_parameter("weight", (4,), nn.Ones())

    def vjp(self, x: Any, ctx: nn.Context) -> Any:
        w = self.own_params["weight"]
        xp, asked = self.accept(x, w).xp, ctx.needs_input_grad

        def pullback(dy: Any) -> Any:
            d_weight = xp.sum(dy * x, axis=0)
            return (dy * w, {"weight": d_weight}) if asked else (None, {"weight": 0.0 * d_weight})

        return x * w, pullback


class NeedsRandomNumbers(nn.Layer):
    """Asks for its key even where nothing is drawn."""

    def vjp(self, x: Any, ctx: nn.Context) -> Any:
        ctx.rng.child("mask")  # type: ignore[union-attr]
        return 2.0 * x, lambda dy: (2.0 * dy, {})


# --- no layers -----------------------------------------------------------------------------------


class NoDerivative(nn.Layer):
    pass


class NoPullback(nn.Layer):
    def vjp(self, x: Any, ctx: nn.Context) -> Any:
        return x


class OfIntegers(nn.Layer):
    def vjp(self, x: Any, ctx: nn.Context) -> Any:
        return backend_of(x).xp.argmax(x, axis=1), lambda dy: (dy, {})


class NeedsAnArgument(nn.Layer):
    def __init__(self, features: int) -> None:
        self.features = features


def fails() -> nn.Layer:
    raise RuntimeError("no weights\nwere found")


NUMBER = 3
