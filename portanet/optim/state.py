"""What an optimizer takes from a saved state, checked before anything of it is changed."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from portanet.backend import Array, backend_of, dtype_name
from portanet.checks import complete, instance, integer
from portanet.optim.group import FixedKeys, Hyper, closest
from portanet.optim.transform import Transform

if TYPE_CHECKING:
    from portanet.optim.optimizer import Optimizer

State = dict[str, dict[str, Array]]  # by parameter, then by slot


class Saved(NamedTuple):
    """What a state holds: copies that can be put in place."""

    steps: int
    taken: dict[str, int]
    arrays: State
    groups: dict[str, tuple[Hyper, Hyper]]  # initial and present hyperparameters


def saved(optimizer: "Optimizer", state: Mapping[str, Any]) -> Saved:
    """Return what a state holds for an optimizer, the states of its transforms left out.

    Raises ValueError where the state is of another optimizer or model.
    """
    who = type(optimizer).__name__
    state = complete(who, state, ("steps", "taken", "groups", "transforms", "arrays"))
    steps = integer("steps", state["steps"], least=0)
    arrays, groups = dict(state["arrays"]), instance("groups", state["groups"], Mapping)
    taken = {n: integer(f"taken[{n!r}]", t, least=0) for n, t in state["taken"].items()}
    wrong = [*(optimizer.groups.keys() ^ groups.keys()), *(taken.keys() - optimizer.owners)]
    hypers: dict[str, tuple[Hyper, Hyper]] = {}
    for name in optimizer.groups.keys() & groups.keys():
        given = complete(f"{who}, group {name!r}", groups[name], ("initial", "hyper"))
        hypers[name] = dict(given["initial"]), FixedKeys(given["hyper"])
        for hyper in hypers[name]:
            wrong += optimizer.groups[name].hyper.keys() ^ hyper.keys()
    kept = [transform.state_dict().keys() for transform in optimizer.transforms]
    if kept != [values.keys() for values in state["transforms"]]:
        wrong += ["transforms"]
    new: State = {}
    for name in taken if not wrong else ():
        layer, key = optimizer.owners[name]
        p, new[name] = layer.own_params[key], {}
        hyper = hypers[closest(name, optimizer.groups)][1]
        for slot in optimizer.slots:
            array = arrays.pop(f"{slot}.{name}", None)
            if array is None and not optimizer._is_kept(slot, hyper):
                continue
            shape = tuple(p.shape)
            if array is None or tuple(array.shape) != shape:
                raise ValueError(f"{who}: the state has no '{slot}.{name}' of shape {shape}")
            copy = backend_of(p).asarray(array, dtype_name(p))
            new[name][slot] = backend_of(p).xp.asarray(copy, copy=True)
    wrong += arrays if not wrong else ()
    if wrong:
        raise ValueError(f"{who}: the state is another optimizer's: {sorted(set(wrong))}")
    return Saved(steps, taken, new, hypers)


def load_each(transforms: Sequence[Transform], states: Sequence[Mapping[str, Any]]) -> None:
    """Give each transform its state; where one takes it not, all have those of before."""
    before = [transform.state_dict() for transform in transforms]
    try:
        for transform, state in zip(transforms, states, strict=True):
            transform.load_state_dict(state)
    except BaseException:
        for transform, state in zip(transforms, before, strict=True):
            transform.load_state_dict(state)
        raise
