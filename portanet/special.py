"""Special functions that the array API standard lacks."""

from typing import Any

_SMALL = 0.46875  # below it erf itself is approximated, above it 1 − erf
_LARGE = 6.0  # where erf is 1 to the last bit of float64

# Numerators and denominators, the highest power first.
_ERF = (
    (
        1.85777706184603153e-1,
        3.16112374387056560e0,
        1.13864154151050156e2,
        3.77485237685302021e2,
        3.20937758913846947e3,
    ),
    (
        1.0,
        2.36012909523441209e1,
        2.44024637934444173e2,
        1.28261652607737228e3,
        2.84423683343917062e3,
    ),
)
_ERFC = (
    (
        2.15311535474403846e-8,
        5.64188496988670089e-1,
        8.88314979438837594e0,
        6.61191906371416295e1,
        2.98635138197400131e2,
        8.81952221241769090e2,
        1.71204761263407058e3,
        2.05107837782607147e3,
        1.23033935479799725e3,
    ),
    (
        1.0,
        1.57449261107098347e1,
        1.17693950891312499e2,
        5.37181101862009858e2,
        1.62138957456669019e3,
        3.29079923573345963e3,
        4.36261909014324716e3,
        3.43936767414372164e3,
        1.23033935480374942e3,
    ),
)


def erf(xp: Any, x: Any) -> Any:
    """Return the error function, 2/√π ∫₀ˣ exp(−t²) dt, to the last bits of x's dtype.

    With y = abs(x): y P(y²) / Q(y²) where y is small, else 1 − exp(−y²) P(y) / Q(y).

    Source: Cody, "Rational Chebyshev approximations for the error function", 1969.
    """
    y = xp.minimum(xp.abs(x), xp.full_like(x, _LARGE))
    # Both are computed everywhere: neither overflows where it does not hold.
    small = y * _ratio(y * y, *_ERF)
    large = 1.0 - xp.exp(-(y * y)) * _ratio(y, *_ERFC)
    is_small = xp.astype(y <= _SMALL, x.dtype)
    return xp.sign(x) * (is_small * small + (1.0 - is_small) * large)


def sigmoid(xp: Any, x: Any, e: Any = None) -> Any:
    """Return 1 / (1 + exp(−x)), which never overflows; `e` is exp(−abs(x)), where it is at hand."""
    e = xp.exp(-xp.abs(x)) if e is None else e
    return xp.maximum(e, xp.astype(x > 0, x.dtype)) / (1.0 + e)  # above: 1 or e, as x > 0 or not


def _ratio(y: Any, above: tuple[float, ...], below: tuple[float, ...]) -> Any:
    return _polynomial(y, above) / _polynomial(y, below)


def _polynomial(y: Any, coefficients: tuple[float, ...]) -> Any:
    """Return the polynomial by Horner's rule, in one array."""
    first, second, *others = coefficients
    sums = first * y + second
    for coefficient in others:
        sums *= y
        sums += coefficient
    return sums
