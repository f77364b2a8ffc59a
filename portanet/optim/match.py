"""Whether gradients fit the parameters that they are to change."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from portanet.backend import Array, Backend, BackendMismatchError, backend_of, dtype_name

if TYPE_CHECKING:
    from portanet.optim.optimizer import Optimizer


def matched(
    optimizer: "Optimizer", params: Mapping[str, Array], grads: Mapping[str, Array]
) -> dict[str, Backend]:
    """Return each parameter's backend, or raise an error where a gradient does not fit."""
    if params.keys() != grads.keys():
        missing, unknown = sorted(params.keys() - grads), sorted(grads.keys() - params)
        raise ValueError(
            f"{type(optimizer).__name__}: the gradients do not fit the model: "
            f"missing {missing}, unknown {unknown}; freeze() a layer that is not used"
        )
    backends = {}
    for name, p in params.items():
        g = grads[name]
        backends[name] = backend_of(p, g)
        if g.shape != p.shape or g.dtype != p.dtype:
            who = f"{type(optimizer).__name__}: gradient of {name!r}"
            if g.shape != p.shape:
                raise ValueError(f"{who}: expected shape {tuple(p.shape)}, got {tuple(g.shape)}")
            raise TypeError(
                f"{who}: expected {dtype_name(p)}, the parameter's dtype, got {dtype_name(g)}"
            )
        if optimizer._bound.get(name, p) is not p:
            raise BackendMismatchError(
                f"{type(optimizer).__name__}: {name!r} was moved or drawn anew after this "
                "optimizer's first step, and its state belongs to the old one: make a new "
                "optimizer after model.to(…) or model.initialize(…)"
            )
    return backends
