"""Rectifiers: ReLU and its kin. Any shape, x's dtype and memory order.

The smooth activations (sigmoid, GELU, SiLU, …) are in `smooth_activation.py`, softmax in its own
file.

Gradients are masked by multiplication: choosing element by element (`where`) costs NumPy ten times
as much where the choice is hard to foresee. So where dy is not finite, dx is NaN instead of 0.
"""

from typing import Any

from portanet.backend import Array
from portanet.checks import integer, number
from portanet.nn.context import Context, Gradients, Pullback
from portanet.nn.elementwise import Elementwise
from portanet.nn.initialization import Constant
from portanet.nn.layer import Layer
from portanet.sums import total


class ReLU(Elementwise):
    """Rectified linear unit: y = max(x, 0), y' = 1 where x > 0, else 0.

    Shapes: x and y (…). Source: Nair and Hinton, "Rectified linear units improve restricted
    Boltzmann machines", 2010.
    """

    @staticmethod
    def formula(xp: Any, x: Array) -> tuple[Array, Array]:
        # An array of zeros, not the number: NumPy compares two arrays several times as fast.
        y = xp.maximum(x, xp.zeros_like(x))
        return y, y  # which is positive where x is

    @staticmethod
    def gradient(xp: Any, y: Array, dy: Array) -> Array:
        return dy * xp.astype(y > 0, dy.dtype)


class LeakyReLU(Elementwise):
    """Leaky rectified linear unit: y = x where x > 0, else a·x; y' = 1 or a.

    Args:
        negative_slope: a, the slope below zero.

    Shapes: x and y (…). Source: Maas et al., "Rectifier nonlinearities improve neural network
    acoustic models", 2013.
    """

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = number("negative_slope", negative_slope, low=-float("inf"))

    def constants(self) -> tuple[float, ...]:
        return (self.negative_slope,)

    @staticmethod
    def formula(xp: Any, x: Array, slope: float) -> tuple[Any, ...]:
        zeros = xp.zeros_like(x)
        return xp.maximum(x, zeros) + slope * xp.minimum(x, zeros), x, slope

    @staticmethod
    def gradient(xp: Any, x: Array, slope: float, dy: Array) -> Array:
        above = dy * xp.astype(x > 0, dy.dtype)
        return above + slope * (dy - above)

    def extra_repr(self) -> str:
        """Return the arguments that `repr` shows."""
        return f"negative_slope={self.negative_slope}"


class Hardtanh(Elementwise):
    """Cut off on both sides: y = min(max(x, a), b); y' = 1 where a < x < b, else 0.

    Args:
        min_val: a, the lower bound.
        max_val: b, the upper one, above a.

    Shapes: x and y (…). Source: Collobert, "Large scale machine learning", 2004.
    """

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0) -> None:
        self.min_val = number("min_val", min_val, low=-float("inf"))
        self.max_val = number("max_val", max_val, low=-float("inf"))
        if not self.min_val < self.max_val:
            self.fail(f"max_val must be above min_val, got {min_val} and {max_val}")

    def constants(self) -> tuple[float, ...]:
        return self.min_val, self.max_val

    @staticmethod
    def formula(xp: Any, x: Array, low: float, high: float) -> tuple[Any, ...]:
        y = xp.minimum(xp.maximum(x, xp.full_like(x, low)), xp.full_like(x, high))
        return y, y, low, high

    @staticmethod
    def gradient(xp: Any, y: Array, low: float, high: float, dy: Array) -> Array:
        return dy * xp.astype(y > low, dy.dtype) * xp.astype(y < high, dy.dtype)

    def extra_repr(self) -> str:
        """Return the arguments that `repr` shows."""
        return f"min_val={self.min_val}, max_val={self.max_val}"


class ReLU6(Hardtanh):
    """ReLU that is cut off at 6: y = min(max(x, 0), 6); y' = 1 where 0 < x < 6, else 0.

    Shapes: x and y (…). Source: Krizhevsky, "Convolutional deep belief networks on CIFAR-10", 2010.
    """

    def __init__(self) -> None:
        super().__init__(0.0, 6.0)

    def extra_repr(self) -> str:
        """Return nothing: there are no arguments."""
        return ""


class PReLU(Layer):
    """Parametric rectified linear unit: y = x where x > 0, else w·x, with trained slopes w.

    dx = dy or w·dy, dw = Σ dy·min(x, 0) over all that shares a slope.

    Args:
        num_parameters: slopes: 1 for all elements, or one for each channel, C.
        init: the slopes at the start.

    Shapes: x and y (…) with one slope, (N, C, …) with one for each channel; params ``weight``
    (num_parameters,). Weight decay would pull the slopes toward 0, which is ReLU. Source: He et
    al., "Delving deep into rectifiers", 2015.
    """

    def __init__(self, num_parameters: int = 1, init: float = 0.25) -> None:
        self.num_parameters = integer("num_parameters", num_parameters)
        start = Constant(number("init", init, low=-float("inf")))
        self.add_parameter("weight", (num_parameters,), start)

    def vjp(self, x: Array, ctx: Context) -> tuple[Array, Pullback]:
        """Return y and the pullback, which keeps x."""
        weight, needs_input_grad = self.own_params["weight"], ctx.needs_input_grad
        xp, shared = self.accept(x, weight).xp, self.num_parameters == 1
        if not shared and tuple(x.shape[1:2]) != (self.num_parameters,):
            self.fail(f"expected x of shape (N, {self.num_parameters}, …), got {tuple(x.shape)}")
        axes = tuple(a for a in range(x.ndim) if shared or a != 1)
        slope = xp.reshape(weight, tuple(1 if a in axes else -1 for a in range(x.ndim)))
        zeros = xp.zeros_like(x)
        y = xp.maximum(x, zeros) + slope * xp.minimum(x, zeros)

        def pullback(dy: Array) -> tuple[Array, Gradients]:
            negative = xp.minimum(x, xp.zeros_like(x))
            products = dy * negative
            sums = xp.sum(products) if shared else total(xp, products, axes)
            grads = {"weight": xp.reshape(sums, (-1,))}
            if not needs_input_grad:
                return None, grads
            above = dy * xp.astype(x > 0, dy.dtype)
            return above + slope * (dy - above), grads

        return y, pullback

    def extra_repr(self) -> str:
        """Return the arguments that `repr` shows."""
        return f"num_parameters={self.num_parameters}"


class _ELU(Elementwise):
    alpha: float
    scale = 1.0

    def constants(self) -> tuple[float, ...]:
        return self.scale, self.scale * self.alpha

    @staticmethod
    def formula(xp: Any, x: Array, above_zero: float, below_zero: float) -> tuple[Any, ...]:
        zeros = xp.zeros_like(x)
        # exp(x) − 1 without its cancellation near 0, and several times as fast as NumPy's expm1.
        half = xp.tanh(0.5 * xp.minimum(x, zeros))
        y = above_zero * xp.maximum(x, zeros) + (2.0 * below_zero) * (half / (1.0 - half))
        return y, x, above_zero, below_zero

    @staticmethod
    def gradient(xp: Any, x: Array, above_zero: float, below_zero: float, dy: Array) -> Array:
        above = dy * xp.astype(x > 0, dy.dtype)
        slope = below_zero * xp.exp(xp.minimum(x, xp.zeros_like(x)))
        return above_zero * above + slope * (dy - above)


class ELU(_ELU):
    """Exponential linear unit: y = x where x > 0, else a (exp(x) − 1); y' = 1 or a exp(x).

    Args:
        alpha: a; −a is what y tends to below zero.

    Shapes: x and y (…). Source: Clevert et al., "Fast and accurate deep network learning by
    exponential linear units (ELUs)", 2015.
    """

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = number("alpha", alpha, low=-float("inf"))

    def extra_repr(self) -> str:
        """Return the arguments that `repr` shows."""
        return f"alpha={self.alpha}"


class SELU(_ELU):
    """Scaled exponential linear unit: y = s x where x > 0, else s a (exp(x) − 1).

    With s = 1.0507… and a = 1.6732… activations of mean 0 and variance 1 keep them from layer to
    layer, where weights have variance 1/fan_in.

    Shapes: x and y (…). Source: Klambauer et al., "Self-normalizing neural networks", 2017.
    """

    alpha = 1.6732632423543772848170429916717
    scale = 1.0507009873554804934193349852946
