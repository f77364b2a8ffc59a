"""What an optimizer takes from a saved state, checked before anything of it is changed."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from portanet.backend import Array, backend_of, dtype_name
from portanet.checks import complete, integer
from portanet.optim.group import closest

if TYPE_CHECKING:
    from portanet.optim.optimizer import Optimizer

State = dict[str, dict[str, Array]]  # by parameter, then by slot


def arrays_of(
    optimizer: "Optimizer", state: Mapping[str, Any]
) -> tuple[State, dict[str, int], int]:
    """Return copies of a state's arrays, each parameter's steps, and the optimizer's.

    Raises ValueError where the state is of another optimizer or model.
    """
    who = type(optimizer).__name__
    state = complete(who, state, ("steps", "taken", "groups", "transforms", "arrays"))
    steps = integer("steps", state["steps"], least=0)
    arrays, taken, groups = dict(state["arrays"]), dict(state["taken"]), state["groups"]
    wrong = [*(optimizer.groups.keys() ^ groups.keys()), *(taken.keys() - optimizer.owners)]
    for name in optimizer.groups.keys() & groups.keys():
        wrong += optimizer.groups[name].hyper.keys() ^ groups[name]["hyper"].keys()
    kept = [transform.state_dict().keys() for transform in optimizer.transforms]
    if kept != [values.keys() for values in state["transforms"]]:
        wrong += ["transforms"]
    new: State = {}
    for name in taken if not wrong else ():
        layer, key = optimizer.owners[name]
        p, new[name] = layer.own_params[key], {}
        hyper = groups[closest(name, optimizer.groups)]["hyper"]
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
        raise ValueError(f"{who}: the state is another optimizer's: {sorted(wrong)}")
    return new, taken, steps
