"""Smooth activations, element by element: any shape, x's dtype and memory order.

None overflows. The gated ones, y = x·g(x), have a gate g that is exactly 0 or 1 far from zero;
there x is held at a bound, so that ±∞ makes no ∞ · 0.
"""

from math import inf, pi, sqrt
from typing import Any, Literal

from portanet.backend import Array, backend_of
from portanet.checks import number, word
from portanet.nn.elementwise import Elementwise
from portanet.special import sigmoid

_SLOPE, _CUBIC = sqrt(2.0 / pi), 0.044715  # of the approximate GELU


class Sigmoid(Elementwise):
    """Logistic function: y = 1 / (1 + exp(−x)), y' = y (1 − y).

    Shapes: x and y (…). It never overflows: only exp(−abs(x)) is taken.
    """

    @staticmethod
    def formula(xp: Any, x: Array) -> tuple[Array, Array]:
        y = sigmoid(xp, x)
        return y, y

    @staticmethod
    def gradient(xp: Any, y: Array, dy: Array) -> Array:
        return dy * (y * (1.0 - y))


class Tanh(Elementwise):
    """Hyperbolic tangent: y = tanh(x), y' = 1 − y².

    Shapes: x and y (…).
    """

    @staticmethod
    def formula(xp: Any, x: Array) -> tuple[Array, Array]:
        y = xp.tanh(x)
        return y, y

    @staticmethod
    def gradient(xp: Any, y: Array, dy: Array) -> Array:
        return dy * (1.0 - y * y)


class Softplus(Elementwise):
    """Smooth ReLU: y = log(1 + exp(b x)) / b, y' = σ(b x); y = x, y' = 1 where b x > threshold.

    Args:
        beta: b, the sharpness; not 0.
        threshold: where y becomes x itself, as in PyTorch.

    Shapes: x and y (…). It never overflows: log(1 + exp(z)) = max(z, 0) + log(1 + exp(−abs(z))).
    Source: Dugas et al., "Incorporating second-order functional knowledge for better option
    pricing", 2000.
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        self.beta = number("beta", beta, low=-inf)
        self.threshold = number("threshold", threshold, low=-inf, infinite=True)
        if self.beta == 0.0:
            self.fail("beta must not be 0")

    def constants(self) -> tuple[float, ...]:
        return self.beta, self.threshold

    @staticmethod
    def formula(xp: Any, x: Array, beta: float, threshold: float) -> tuple[Any, ...]:
        z = beta * x
        soft = (xp.maximum(z, xp.zeros_like(z)) + xp.log1p(xp.exp(-xp.abs(z)))) / beta
        return xp.where(z > threshold, x, soft), x, beta, threshold

    @staticmethod
    def gradient(xp: Any, x: Array, beta: float, threshold: float, dy: Array) -> Array:
        z = beta * x
        return dy * xp.where(z > threshold, 1.0, sigmoid(xp, z))

    def extra_repr(self) -> str:
        """Return the arguments that `repr` shows."""
        return f"beta={self.beta}, threshold={self.threshold}"


class SiLU(Elementwise):
    """Sigmoid linear unit, or swish: y = x σ(x), y' = σ(x) (1 + x (1 − σ(x))).

    Shapes: x and y (…). Sources: Hendrycks and Gimpel, "Gaussian error linear units (GELUs)", 2016;
    Ramachandran et al., "Searching for activation functions", 2017.
    """

    @staticmethod
    def formula(xp: Any, x: Array) -> tuple[Array, ...]:
        floored, z = _bounded(xp, x, 800.0)
        gate = sigmoid(xp, z)
        return floored * gate, z, gate

    @staticmethod
    def gradient(xp: Any, z: Array, gate: Array, dy: Array) -> Array:
        return dy * (gate * (1.0 + z * (1.0 - gate)))


class Mish(Elementwise):
    """SiLU's kin: y = x g(x) with the gate g = tanh(log(1 + exp(x))); y' = g + x g'.

    With e = exp(x) and n = e (e + 2): g = n / (n + 2), g' = 4 e (e + 1) / (n + 2)².

    Shapes: x and y (…). Source: Misra, "Mish: a self regularized non-monotonic activation
    function", 2019.
    """

    @staticmethod
    def formula(xp: Any, x: Array) -> tuple[Array, ...]:
        floored, z = _bounded(xp, x, 800.0)
        e = xp.exp(xp.minimum(z, xp.full_like(z, 40.0)))  # whose square float32 holds
        n = e * (e + 2.0)
        return floored * (n / (n + 2.0)), z, e

    @staticmethod
    def gradient(xp: Any, z: Array, e: Array, dy: Array) -> Array:
        n = e * (e + 2.0)
        below = n + 2.0
        return dy * ((n + z * (4.0 * e * (e + 1.0) / below)) / below)


class GELU(Elementwise):
    """Gaussian error linear unit: y = x Φ(x), y' = Φ(x) + x φ(x), for the normal distribution.

    Φ(x) = ½ (1 + erf(x/√2)), or approximately ½ (1 + tanh(√(2/π) (x + 0.044715 x³))), with φ its
    derivative. The approximation is several times as fast on NumPy, which has no erf.

    Args:
        approximate: ``"none"`` or ``"tanh"``.

    Shapes: x and y (…). Source: Hendrycks and Gimpel, "Gaussian error linear units (GELUs)", 2016.
    """

    def __init__(self, approximate: Literal["none", "tanh"] = "none") -> None:
        self.approximate = word("approximate", approximate, "none", "tanh")

    def constants(self) -> tuple[bool, ...]:
        return (self.approximate == "none",)

    @staticmethod
    def formula(xp: Any, x: Array, exact: bool) -> tuple[Any, ...]:
        floored, z = _bounded(xp, x, 40.0)
        if exact:
            gate = 0.5 + 0.5 * backend_of(z).erf(sqrt(0.5) * z)
        else:
            gate = 0.5 + 0.5 * xp.tanh(_SLOPE * (z + _CUBIC * (z * z * z)))
        return floored * gate, z, gate, exact

    @staticmethod
    def gradient(xp: Any, z: Array, gate: Array, exact: bool, dy: Array) -> Array:
        if exact:
            density = xp.exp(-0.5 * (z * z)) / sqrt(2.0 * pi)
        else:  # ½ (1 − tanh²) = 2 Φ (1 − Φ)
            density = (gate * (1.0 - gate)) * (2.0 * _SLOPE + (6.0 * _SLOPE * _CUBIC) * (z * z))
        return dy * (gate + z * density)

    def extra_repr(self) -> str:
        """Return the arguments that `repr` shows."""
        return f"approximate={self.approximate!r}"


class Hardsigmoid(Elementwise):
    """Sigmoid in straight pieces: y = min(max(x + 3, 0), 6) / 6; y' = 1/6 where −3 < x < 3, else 0.

    Shapes: x and y (…). Source: Courbariaux et al., "BinaryConnect", 2015; the bounds are those of
    Howard et al., "Searching for MobileNetV3", 2019.
    """

    @staticmethod
    def formula(xp: Any, x: Array) -> tuple[Array, Array]:
        _, z = _bounded(xp, x, 3.0)
        return (z + 3.0) / 6.0, z

    @staticmethod
    def gradient(xp: Any, z: Array, dy: Array) -> Array:
        return dy * (xp.astype(xp.abs(z) < 3.0, dy.dtype) / 6.0)


class Hardswish(Elementwise):
    """SiLU in straight pieces: y = x g(x) with the gate g = min(max(x + 3, 0), 6) / 6.

    y' = 0 where x ≤ −3, x/3 + ½ between, 1 where x ≥ 3.

    Shapes: x and y (…). Source: Howard et al., "Searching for MobileNetV3", 2019.
    """

    @staticmethod
    def formula(xp: Any, x: Array) -> tuple[Array, Array]:
        floored, z = _bounded(xp, x, 3.0)
        return floored * ((z + 3.0) / 6.0), z

    @staticmethod
    def gradient(xp: Any, z: Array, dy: Array) -> Array:
        curved = z * xp.astype(xp.abs(z) < 3.0, z.dtype)
        return dy * ((z + 3.0 + curved) / 6.0)


def _bounded(xp: Any, x: Array, bound: float) -> tuple[Array, Array]:
    """Return max(x, −bound), and this within ±bound."""
    floored = xp.maximum(x, xp.full_like(x, -bound))
    return floored, xp.minimum(floored, xp.full_like(x, bound))
