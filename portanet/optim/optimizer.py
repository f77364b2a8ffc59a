"""What all optimizers share: checking, groups, state, stepping; each adds only its formula."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypedDict

from portanet.backend import Array, Backend, BackendMismatchError, backend_of, dtype_name
from portanet.checks import Named, flag, instance, listed
from portanet.nn.tree import ParameterTree
from portanet.optim.group import FixedKeys, Group, closest, lies_in
from portanet.optim.group import Hyper as Hyper
from portanet.optim.state import arrays_of
from portanet.optim.transform import Transform


class Common(TypedDict, total=False):
    """The options that every optimizer takes; see `Optimizer`."""

    transforms: Sequence[Transform]
    groups: Mapping[str, Mapping[str, Any]]
    decay_bias: bool


class Optimizer(metaclass=Named):
    """Changes a model's parameters by their gradients: ``optimizer.step(grads)``.

    Every optimizer takes, beside its own hyperparameters:

    transforms: what is done to the gradients first, in this order, such as ``[ClipGradNorm(1.0)]``.
    groups: other hyperparameters for some of the parameters, by the dotted name of a layer or a
        parameter: ``groups={"body": {"lr": 1e-4}, "head.bias": {"weight_decay": 0.0}}``. The
        longest name that fits counts. Schedules start from each group's own rate.
    decay_bias: False leaves biases, and the scales and shifts of normalisations, out of
        `weight_decay`: all parameters of less than two dimensions.

    A subclass passes its hyperparameters to ``super().__init__``, names in `slots` the arrays that
    it keeps for each parameter (they start at zero; `needs` names the hyperparameter without which
    one is left out), and gives the formula in `update`. Parameters and state change in place.

    `hyper` holds the hyperparameters of the next step, which a schedule sets, `initial` those that
    were given; `groups` has both for each group, with the name "" for the rest. `steps` counts the
    steps done. Frozen layers are passed over.
    """

    slots: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[Mapping[str, str]] = {}

    def __init__(self, model: ParameterTree, common: Common | None = None, **hyper: Any) -> None:
        if not isinstance(model, ParameterTree):
            raise TypeError(
                f"{type(self).__name__} takes the model first, got {type(model).__name__}"
            )
        self._model, self._changes = model, ParameterTree.changes
        self.owners = model.owners()
        if not self.owners:
            raise ValueError(f"{type(self).__name__}: the model has no parameters to train")
        common = common or {}
        transforms = listed("transforms", common.get("transforms", ()))
        self.transforms = [instance("transforms", t, Transform) for t in transforms]
        self.decay_bias = flag("decay_bias", common.get("decay_bias", True))
        if not self.decay_bias and "weight_decay" not in hyper:
            raise ValueError(f"{type(self).__name__} has no weight_decay: decay_bias=False is idle")
        self.groups = {"": Group(hyper)}
        for name, options in instance("groups", common.get("groups", {}), Mapping).items():
            self.groups[name] = Group(self._initial_of(model, name, options))
        self._group_of = {n: self.groups[closest(n, self.groups)] for n in self.owners}
        self.steps = 0
        self._state: dict[str, dict[str, Array]] = {}
        self._taken: dict[str, int] = {}  # the steps of each parameter, which may be frozen a while
        self._bound: dict[str, Array] = {}  # the parameters that the state belongs to

    def _initial_of(
        self, model: ParameterTree, name: str, options: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Return a group's hyperparameters, checked as all are: by the class itself."""
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
        return type(self)(model, **given | dict(options)).initial

    @property
    def hyper(self) -> Hyper:
        """The hyperparameters of the next step, for parameters of no group."""
        return self.groups[""].hyper

    @property
    def initial(self) -> Mapping[str, Any]:
        """The hyperparameters as they were given."""
        return self.groups[""].initial

    def __setattr__(self, name: str, value: Any) -> None:
        if "groups" in vars(self) and name in self.hyper:
            raise AttributeError(f"{type(self).__name__}: set optimizer.hyper[{name!r}] instead")
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
        given = instance("grads", grads, Mapping).items()
        grads = {n: g for n, g in given if n in params or n not in self.owners}
        backends = self._check(params, grads)
        for transform in self.transforms:
            grads = transform(grads, params, self.steps)
            self._check(params, grads)
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

    def check_model(self, model: ParameterTree) -> None:
        """Raise RuntimeError where the optimizer's parameters are not those of a model."""
        changes = ParameterTree.changes
        if model is self._model and changes == self._changes:
            return
        owners = instance("model", model, ParameterTree).owners()
        other = [n for n in owners.keys() | self.owners if owners.get(n) != self.owners.get(n)]
        if other:
            who = f"{type(self).__name__}: {', '.join(sorted(other))}"
            raise RuntimeError(f"{who}: other layers than it was made for; make a new optimizer")
        if model is self._model:
            self._changes = changes

    def _check(self, params: Mapping[str, Array], grads: Mapping[str, Array]) -> dict[str, Backend]:
        """Return each parameter's backend, or raise an error where a gradient does not fit."""
        if params.keys() != grads.keys():
            missing, unknown = sorted(params.keys() - grads), sorted(grads.keys() - params)
            raise ValueError(
                f"{type(self).__name__}: the gradients do not fit the model: "
                f"missing {missing}, unknown {unknown}; freeze() a layer that is not used"
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
            if self._bound.get(name, p) is not p:
                raise BackendMismatchError(
                    f"{type(self).__name__}: {name!r} was moved or drawn anew after this "
                    "optimizer's first step, and its state belongs to the old one: make a new "
                    "optimizer after model.to(…) or model.initialize(…)"
                )
        return backends

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
        new, taken, steps = arrays_of(self, state)
        self._bound = {n: self.owners[n][0].own_params[self.owners[n][1]] for n in new}
        self._state, self._taken, self.steps = new, taken, steps
        for name, group in self.groups.items():
            group.initial = dict(state["groups"][name]["initial"])
            group.hyper = FixedKeys(state["groups"][name]["hyper"])
        for transform, values in zip(self.transforms, state["transforms"], strict=True):
            transform.load_state_dict(values)

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
