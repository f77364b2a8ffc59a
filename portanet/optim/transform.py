"""What happens to gradients before an optimizer's formula sees them."""

from collections.abc import Mapping
from math import inf, pi, prod

from portanet.backend import Array, backend_of, dtype_name
from portanet.checks import flag, integer, number
from portanet.nn.context import Gradients
from portanet.optim.stateful import Stateful
from portanet.overriding import check_override
from portanet.random import Key


class Transform(Stateful):
    """Changes a model's gradients: ``transform(grads, params, step) -> grads``.

    `grads` and `params` are dicts of arrays with the same names, `step` is the number of steps done
    before. It returns new arrays, leaves those it was given as they are, and never waits for the
    device. A transform that keeps state overrides `state_dict` and `load_state_dict`: the state is
    saved with the optimizer's.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        check_override(cls, "__call__", Transform)

    def __call__(self, grads: Gradients, params: Mapping[str, Array], step: int) -> Gradients:
        """Return the changed gradients."""
        raise NotImplementedError(f"{type(self).__name__} does not define __call__")


class ClipGradNorm(Transform):
    """Scales all gradients together, so that their norm is at most `max_norm`.

    g ← g · min(1, max_norm / (‖g‖ + 10⁻⁶)), with ‖g‖ over all parameters' gradients as one vector.

    Args:
        max_norm: the largest norm.
        norm_type: p of the norm (Σ |g|ᵖ)^(1/p); ``inf`` takes the largest element.

    Definition and defaults are those of PyTorch's ``clip_grad_norm_``. All gradients must live on
    one backend. Source: Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent
    neural networks", 2013.
    """

    def __init__(self, max_norm: float, norm_type: float = 2.0) -> None:
        self.max_norm = number("max_norm", max_norm, infinite=True)
        self.norm_type = number("norm_type", norm_type, infinite=True)
        if self.norm_type == 0.0:
            raise ValueError("norm_type must be positive, got 0")

    def __call__(self, grads: Gradients, params: Mapping[str, Array], step: int) -> Gradients:
        """Return the scaled gradients."""
        filled = [g for g in grads.values() if 0 not in g.shape]
        if not filled:
            return grads
        xp, p = backend_of(*filled).xp, self.norm_type
        if p == inf:
            total = xp.max(xp.stack([xp.max(xp.abs(g)) for g in filled]))
        elif p == 2.0:  # `vector_norm` copies what lies in another order, or loses digits
            total = sum(xp.sum(g * g) for g in filled) ** 0.5
        else:
            total = sum(xp.sum(xp.abs(g) ** p) for g in filled) ** (1.0 / p)
        scale = self.max_norm / (total + 1e-6)
        scale = xp.minimum(scale, xp.ones_like(scale))
        return {name: g * xp.astype(scale, g.dtype, copy=False) for name, g in grads.items()}


class ClipGradValue(Transform):
    """Cuts each element of the gradients off: g ← min(max(g, −clip_value), clip_value).

    Args:
        clip_value: the largest absolute value.
    """

    def __init__(self, clip_value: float) -> None:
        self.clip_value = number("clip_value", clip_value, infinite=True)

    def __call__(self, grads: Gradients, params: Mapping[str, Array], step: int) -> Gradients:
        """Return the cut gradients."""
        return {name: self._cut(g) for name, g in grads.items()}

    def _cut(self, g: Array) -> Array:
        xp = backend_of(g).xp
        bound = xp.full_like(g, self.clip_value)
        return xp.minimum(xp.maximum(g, -bound), bound)


class L1(Transform):
    """The gradient of a penalty alpha · Σ |w|: g ← g + alpha · sign(w).

    Args:
        alpha: the weight of the penalty.
        dead_zone: leave out weights with |w| ≤ alpha, which the penalty would push back and forth
            over 0.
        bias: whether parameters of less than two dimensions (biases, scales, shifts) are penalized.

    Source: Tibshirani, "Regression shrinkage and selection via the lasso", 1996.
    """

    def __init__(self, alpha: float, dead_zone: bool = False, bias: bool = False) -> None:
        self.alpha = number("alpha", alpha)
        self.dead_zone, self.bias = flag("dead_zone", dead_zone), flag("bias", bias)

    def __call__(self, grads: Gradients, params: Mapping[str, Array], step: int) -> Gradients:
        """Return the gradients of the loss with the penalty."""
        return {
            name: self._penalized(g, params[name]) if self.bias or g.ndim > 1 else g
            for name, g in grads.items()
        }

    def _penalized(self, g: Array, w: Array) -> Array:
        xp = backend_of(g, w).xp
        push = self.alpha * xp.sign(w)
        if self.dead_zone:
            push = push * xp.astype(xp.abs(w) > self.alpha, w.dtype)
        return g + push


class GradientNoise(Transform):
    """Adds normal noise that fades as training goes on: g ← g + σₜ ε, σₜ² = eta / (1 + t)^gamma.

    Args:
        eta: the variance in the first step, t = 0.
        gamma: how fast it fades.
        seed: of the noise; each step and parameter draws its own.

    Source: Neelakantan et al., "Adding gradient noise improves learning for very deep networks",
    2015.
    """

    def __init__(self, eta: float = 0.01, gamma: float = 0.55, seed: int = 0) -> None:
        self.eta, self.gamma = number("eta", eta), number("gamma", gamma)
        self.key = Key(integer("seed", seed, least=0)).child("gradient noise")

    def __call__(self, grads: Gradients, params: Mapping[str, Array], step: int) -> Gradients:
        """Return the gradients with the noise of this step."""
        deviation = (self.eta * (1.0 + step) ** -self.gamma) ** 0.5
        if deviation < 1e-37:  # it has faded away: numbers below the normal ones take long
            return grads
        key = self.key.child(step)
        return {name: g + deviation * _normal(key.child(name), g) for name, g in grads.items()}


def _normal(key: Key, like: Array) -> Array:
    """Return standard normal numbers by the Box-Muller transform, drawn where the array lives."""
    backend = backend_of(like)
    xp = backend.xp
    u = backend.random(key, (2, prod(like.shape)), dtype_name(like))
    # 1 − u is in (0, 1]: its logarithm is finite.
    normal = xp.sqrt(-2.0 * xp.log1p(-u[0, :])) * xp.cos(2.0 * pi * u[1, :])
    return xp.reshape(normal, like.shape)
