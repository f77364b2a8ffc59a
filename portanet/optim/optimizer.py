"""What all optimizers share: checking, groups, state, stepping; each adds only its formula."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from portanet.backend import Array, Backend, backend_of
from portanet.checks import CheckedOptions, flag, instance, listed
from portanet.nn.layer import Layer
from portanet.optim.group import Common, FixedKeys, Group, Hyper, closest, lies_in
from portanet.optim.match import matched
from portanet.optim.state import load_each, saved
from portanet.optim.transform import Transform
from portanet.overriding import check_override
from portanet.words import ALIASES


class Optimizer(metaclass=CheckedOptions):
    """Changes a model's parameters by their gradients: ``optimizer.step(grads)``.

    Every optimizer takes these, beside its own hyperparameters.

    Args:
        model: what is trained.
        transforms: what is done to the gradients first, in this order: ``[ClipGradNorm(1.0)]``.
        groups: other hyperparameters for some of the parameters, by the dotted name of a layer or
            a parameter: ``groups={"body": {"lr": 1e-4}, "head.bias": {"weight_decay": 0.0}}``. A
            parameter is in one group, that of the longest name that fits. What the group leaves
            out is the optimizer's own, never that of a group around it. Schedules start from each
            group's own rate.
        decay_bias: False leaves biases, and the scales and shifts of normalizations, out of
            `weight_decay`: all parameters of less than two dimensions.

    A subclass passes its hyperparameters and the options above to ``super().__init__``, names in
    `slots` the arrays that it keeps for each parameter (they start at zero; `needs` names the
    hyperparameter without which one is left out), and gives the formula in `update`::

        class Heavy(optim.Optimizer):
            slots = ("velocity",)

            def __init__(self, model, lr=1e-2, momentum=0.9, **common: Unpack[optim.Common]):
                super().__init__(model, lr=lr, momentum=momentum, **common)

            @staticmethod
            def update(p, g, state, step, hyper):
                v = state["velocity"]
                v *= hyper["momentum"]
                v += g
                p -= hyper["lr"] * v

    Parameters and state change in place. `hyper` holds the hyperparameters of the next step, which
    a schedule sets, `initial` those that were given; `groups` has both for each group, with the
    name "" for the rest. `steps` counts the steps done. Frozen layers are passed over.
    """

    slots: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        check_override(cls, "update", Optimizer)

    def __init__(
        self,
        model: Layer,
        *,
        transforms: Sequence[Transform] = (),
        groups: Mapping[str, Mapping[str, Any]] | None = None,
        decay_bias: bool = True,
        **hyper: Any,
    ) -> None:
        if not isinstance(model, Layer):
            raise TypeError(
                f"{type(self).__name__} takes the model first, got {type(model).__name__}"
            )
        self._model, self._changes = model, Layer.changes
        self.owners = model.owners()
        if not self.owners:
            raise ValueError(f"{type(self).__name__}: the model has no parameters to train")
        self.transforms = [
            instance("transforms", t, Transform) for t in listed("transforms", transforms)
        ]
        self.decay_bias = flag("decay_bias", decay_bias)
        if not self.decay_bias and "weight_decay" not in hyper:
            raise ValueError(f"{type(self).__name__} has no weight_decay: decay_bias=False is idle")
        self.groups = {"": Group(hyper)}
        given = {} if groups is None else instance("groups", groups, Mapping)
        for name, options in given.items():
            self.groups[name] = Group(self._initial_of(model, name, options))
        self._group_of = {n: self.groups[closest(n, self.groups)] for n in self.owners}
        self.steps = 0
        self._state: dict[str, dict[str, Array]] = {}
        self._taken: dict[str, int] = {}  # the steps of each parameter, which may be frozen a while
        self._bound: dict[str, Array] = {}  # the parameters that the state belongs to

    def _initial_of(self, model: Layer, name: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a group's hyperparameters: the optimizer's, but for what its options change."""
        if not name or not any(lies_in(parameter, name) for parameter in self.owners):
            raise ValueError(
                f"{type(self).__name__}: the group {name!r} names no layer or parameter; there are "
                f"{', '.join(self.owners)}"
            )
        instance(f"groups[{name!r}]", options, Mapping)
        if idle := sorted(options.keys() & Common.__annotations__):
            raise ValueError(f"{type(self).__name__}: {idle} go with the optimizer, not a group")
        known = inspect.signature(type(self)).parameters
        given = {key: value for key, value in self.initial.items() if key in known}
        usual, new = (type(self)(model, **given | dict(own)).initial for own in ({}, options))
        initial = FixedKeys(self.initial)
        initial.update({k: v for k, v in new.items() if k in options or v != usual.get(k)})
        return initial

    @property
    def hyper(self) -> Hyper:
        """The hyperparameters of the next step, for parameters of no group."""
        return self.groups[""].hyper

    @property
    def initial(self) -> Mapping[str, Any]:
        """The hyperparameters as they were given."""
        return self.groups[""].initial

    def __setattr__(self, name: str, value: Any) -> None:
        key = ALIASES.get(name, name)
        if "groups" in vars(self) and key in self.hyper:
            raise AttributeError(f"{type(self).__name__}: set optimizer.hyper[{key!r}] instead")
        super().__setattr__(name, value)

    @staticmethod
    def update(p: Array, g: Array, state: dict[str, Array], step: int, hyper: Hyper) -> None:
        """Change the parameter `p` and its `state` in place by the gradient `g`, left as it is.

        `step` counts from 1. The formula is element-wise, so that it may be applied to a part of a
        parameter, or to many packed into one vector.
        """
        raise NotImplementedError("an optimizer gives its formula in `update`")

    def step(self, grads: Mapping[str, Array]) -> None:
        """Do one step from gradients under the parameters' dotted names.

        Raises ValueError where a name is missing or unknown or a shape does not fit, TypeError for
        another dtype or backend than the parameter's; nothing has changed then. A gradient may be
        left out only where the layer is frozen. Raises RuntimeError where the model has got other
        layers since the optimizer was made.
        """
        self.check_model(self._model)
        owners = self.owners.items()
        params = {n: layer.own_params[key] for n, (layer, key) in owners if not layer.frozen}
        instance("grads", grads, Mapping)
        if len(params) < len(owners):  # those of frozen layers may be given
            grads = {n: g for n, g in grads.items() if n in params or n not in self.owners}
        backends = matched(self, params, grads)
        for transform in self.transforms:
            grads = transform(grads, params, self.steps)
            matched(self, params, grads)
        self.steps += 1
        calls: dict[Backend, list[Any]] = {}
        for name, p in params.items():
            hyper = self._hyper_of(name)
            if not self.decay_bias and p.ndim < 2:
                hyper = hyper | {"weight_decay": 0.0}
            state = self._state_of(name, p, hyper)
            self._taken[name] += 1
            arguments = p, grads[name], state, self._taken[name], hyper
            calls.setdefault(backends[name], []).append(arguments)
        for backend, of_backend in calls.items():
            backend.fused_each(self.update, of_backend)

    def check_model(self, model: Layer) -> None:
        """Raise RuntimeError where the optimizer's parameters are not those of a model."""
        changes = Layer.changes
        if model is self._model and changes == self._changes:
            return
        owners = instance("model", model, Layer).owners()
        other = [n for n in owners.keys() | self.owners if owners.get(n) != self.owners.get(n)]
        if other:
            who = f"{type(self).__name__}: {', '.join(sorted(other))}"
            raise RuntimeError(f"{who}: other layers than it was made for; make a new optimizer")
        if model is self._model:
            self._changes = changes

    def _state_of(self, name: str, p: Array, hyper: Hyper) -> dict[str, Array]:
        state = self._state.get(name)
        if state is None:
            state = self._state[name] = {}
            self._taken[name] = 0
            self._bound[name] = p
        for slot in self.slots:
            if slot not in state and self._is_kept(slot, hyper):
                state[slot] = backend_of(p).xp.zeros_like(p)
        return state

    def _hyper_of(self, name: str) -> Hyper:
        """Return the hyperparameters of a parameter's next step."""
        return self._group_of[name].hyper

    def _is_kept(self, slot: str, hyper: Mapping[str, Any]) -> bool:
        """Say whether the formula uses a slot; a schedule may turn a momentum on."""
        return slot not in self.needs or bool(hyper[self.needs[slot]])

    @property
    def arrays(self) -> dict[str, Array]:
        """The state's arrays under ``"<slot>.<parameter>"``, such as ``"exp_avg.fc1.weight"``."""
        states = self._state.items()
        return {f"{slot}.{n}": array for n, state in states for slot, array in state.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return the number of steps, the hyperparameters and copies of the state's arrays.

        `taken` has the steps of each parameter, which are fewer where it was frozen.
        """
        arrays = {n: backend_of(a).xp.asarray(a, copy=True) for n, a in self.arrays.items()}
        return {
            "steps": self.steps,
            "taken": dict(self._taken),
            "groups": {
                name: {"initial": dict(group.initial), "hyper": dict(group.hyper)}
                for name, group in self.groups.items()
            },
            "transforms": [transform.state_dict() for transform in self.transforms],
            "arrays": arrays,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict` of the same optimizer class and model.

        Raises ValueError where names or shapes do not fit; nothing has changed then.
        """
        steps, taken, arrays, groups = saved(self, state)
        bound = {n: self.owners[n][0].own_params[self.owners[n][1]] for n in arrays}
        load_each(self.transforms, state["transforms"])  # the last that can fail
        self.steps, self._taken, self._state, self._bound = steps, taken, arrays, bound
        for name, group in self.groups.items():
            group.initial, group.hyper = groups[name]

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_changes": -1}  # another process counts on its own

    def __repr__(self) -> str:
        own = {n: _others(g.hyper, self.hyper) for n, g in self.groups.items() if n}
        shown = self.hyper | ({"groups": own} if own else {})
        shown |= {"decay_bias": False} if not self.decay_bias else {}
        shown |= {"transforms": self.transforms} if self.transforms else {}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in shown.items())})"


def _others(hyper: Mapping[str, Any], usual: Mapping[str, Any]) -> Hyper:
    return {key: value for key, value in hyper.items() if value != usual[key]}
