"""What all optimizers share: checking, state, stepping; each one adds only its formula."""

from collections.abc import Mapping
from typing import Any, ClassVar

from portanet.backend import Array, Backend, BackendMismatchError, backend_of, dtype_name
from portanet.checks import Named, integer, number
from portanet.nn.tree import ParameterTree

Hyper = dict[str, Any]


class Optimizer(metaclass=Named):
    """Changes a model's parameters by their gradients: ``optimizer.step(grads)``.

    A subclass passes its hyperparameters to ``super().__init__``, names in `slots` the arrays that
    it keeps for each parameter (they start at zero), and gives the formula in `update`. Parameters
    and state change in place.

    `initial` holds the hyperparameters as given, `hyper` those of the next step, which a schedule
    sets; `steps` counts the steps done.
    """

    slots: ClassVar[tuple[str, ...]] = ()

    def __init__(self, model: ParameterTree, **hyper: Any) -> None:
        if not isinstance(model, ParameterTree):
            raise TypeError(
                f"{type(self).__name__} takes the model first, got {type(model).__name__}"
            )
        self.owners = model.owners()
        if not self.owners:
            raise ValueError(f"{type(self).__name__}: the model has no parameters to train")
        self.initial: Mapping[str, Any] = dict(hyper)
        self.hyper: Hyper = dict(hyper)
        self.steps = 0
        self._state: dict[str, dict[str, Array]] = {}
        self._bound: dict[str, Array] = {}  # the parameters that the state belongs to

    def __setattr__(self, name: str, value: Any) -> None:
        if name in vars(self).get("hyper", ()):
            raise AttributeError(f"{type(self).__name__}: set optimizer.hyper[{name!r}] instead")
        super().__setattr__(name, value)

    @staticmethod
    def update(p: Array, g: Array, state: dict[str, Array], step: int, hyper: Hyper) -> None:
        """Change the parameter `p` and its `state` in place by the gradient `g`, left as it is.

        `step` counts from 1. The formula is element-wise, so that it may be applied to many
        parameters packed into one vector.
        """
        raise NotImplementedError

    def step(self, grads: Mapping[str, Array]) -> None:
        """Do one step from gradients under the parameters' dotted names.

        Raises ValueError where a name is missing or unknown or a shape does not fit, TypeError for
        another dtype or backend than the parameter's; nothing has changed then. A gradient may be
        left out only by leaving the parameter out of training.
        """
        params = {n: layer.own_params[key] for n, (layer, key) in self.owners.items()}
        backends = self._check(params, grads)
        self.steps += 1
        for name, p in params.items():
            formula = backends[name].fused(self.update)
            formula(p, grads[name], self._slots_of(name, p), self.steps, self.hyper)

    def _check(self, params: Mapping[str, Array], grads: Mapping[str, Array]) -> dict[str, Backend]:
        """Return each parameter's backend, or raise an error where a gradient does not fit."""
        if params.keys() != grads.keys():
            missing, unknown = sorted(params.keys() - grads), sorted(grads.keys() - params)
            raise ValueError(
                f"{type(self).__name__}: the gradients do not fit the model: "
                f"missing {missing}, unknown {unknown}"
            )
        backends = {}
        for name, p in params.items():
            g = grads[name]
            backends[name] = backend_of(p, g)
            who = f"{type(self).__name__}: gradient of {name!r}"
            if g.shape != p.shape:
                raise ValueError(f"{who}: expected shape {tuple(p.shape)}, got {tuple(g.shape)}")
            if g.dtype != p.dtype:
                raise TypeError(
                    f"{who}: expected {dtype_name(p)}, the parameter's dtype, got {dtype_name(g)}"
                )
            self._check_bound(name, p)
        return backends

    def _slots_of(self, name: str, p: Array) -> dict[str, Array]:
        state = self._state.get(name)
        if state is None:
            xp = backend_of(p).xp
            state = self._state[name] = {slot: xp.zeros_like(p) for slot in self.slots}
            self._bound[name] = p
        return state

    def _check_bound(self, name: str, p: Array) -> None:
        if self._bound.get(name, p) is not p:
            raise BackendMismatchError(
                f"{type(self).__name__}: {name!r} was moved or drawn anew after this optimizer's "
                "first step, and its state belongs to the old one: make a new optimizer after "
                "model.to(…) or model.initialize(…)"
            )

    def state_dict(self) -> dict[str, Any]:
        """Return the number of steps, the hyperparameters and copies of the state's arrays.

        The arrays stand under ``"<slot>.<parameter>"``, such as ``"exp_avg.fc1.weight"``.
        """
        arrays = {
            f"{slot}.{name}": backend_of(array).xp.asarray(array, copy=True)
            for name, state in self._state.items()
            for slot, array in state.items()
        }
        return {"steps": self.steps, "hyper": dict(self.hyper), "arrays": arrays}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict` of the same optimizer class and model.

        Raises ValueError where names or shapes do not fit; nothing has changed then.
        """
        new: dict[str, dict[str, Array]] = {}
        arrays = dict(state["arrays"])
        if arrays:  # an optimizer that has not stepped yet has none
            for name, (layer, key) in self.owners.items():
                p = layer.own_params[key]
                new[name] = {}
                for slot in self.slots:
                    array = arrays.pop(f"{slot}.{name}", None)
                    if array is None or tuple(array.shape) != tuple(p.shape):
                        raise ValueError(
                            f"{type(self).__name__}: the state has no '{slot}.{name}' of shape "
                            f"{tuple(p.shape)}"
                        )
                    copy = backend_of(p).asarray(array, dtype_name(p))
                    new[name][slot] = backend_of(p).xp.asarray(copy, copy=True)
        if arrays or state["hyper"].keys() != self.hyper.keys():
            unknown = sorted(arrays) + sorted(state["hyper"].keys() ^ self.hyper.keys())
            raise ValueError(f"{type(self).__name__}: the state is another optimizer's: {unknown}")
        self._bound = {n: layer.own_params[key] for n, (layer, key) in self.owners.items()}
        self._state, self.steps = new, integer("steps", state["steps"], least=0)
        self.hyper = dict(state["hyper"])

    def __repr__(self) -> str:
        hyper = ", ".join(f"{k}={v}" for k, v in self.hyper.items())
        return f"{type(self).__name__}({hyper})"


def checked_betas(betas: tuple[float, float]) -> tuple[float, float]:
    """Return the two decay rates, each in [0, 1), or raise TypeError or ValueError."""
    try:
        first, second = betas
    except (TypeError, ValueError):
        raise TypeError(f"betas must be a pair of numbers, got {betas!r}") from None
    for beta in (first, second):
        if number("betas", beta) >= 1.0:
            raise ValueError(f"betas must be in [0, 1), got {beta!r}")
    return float(first), float(second)
