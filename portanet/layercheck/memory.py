"""What does a pullback keep alive, and how much memory is that?"""

import gc
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from types import FunctionType, MethodType, ModuleType
from typing import Any
from weakref import ref

from portanet.layercheck.report import Failed
from portanet.layercheck.subject import MODES, Subject
from portanet.nn.context import Context
from portanet.nn.layer import Layer


def reachable(root: Any) -> Iterator[tuple[str, Any]]:
    """Yield all that a function keeps alive, with the local name that leads there.

    It follows closures, defaults, arguments, containers and attributes, but not into layers.
    """
    seen: set[int] = set()
    todo: list[tuple[str, Any]] = [("pullback", root)]
    while todo:
        name, what = todo.pop()
        if id(what) in seen:
            continue
        seen.add(id(what))
        yield name, what
        if isinstance(what, FunctionType):
            code, defaults = what.__code__, what.__defaults__ or ()
            for n, cell in zip(code.co_freevars, what.__closure__ or (), strict=True):
                with suppress(ValueError):  # a name that was not bound in this call
                    todo.append((n, cell.cell_contents))
            first = code.co_argcount - len(defaults)
            todo += zip(code.co_varnames[first : code.co_argcount], defaults, strict=True)
            todo += (what.__kwdefaults__ or {}).items()
        elif isinstance(what, MethodType):
            todo += [("self", what.__self__), (name, what.__func__)]
        elif isinstance(what, partial):
            todo += [(name, part) for part in (what.func, *what.args, *what.keywords.values())]
        elif isinstance(what, dict):
            todo += [(name, part) for part in (*what.keys(), *what.values())]
        elif isinstance(what, tuple | list | set | frozenset):
            todo += [(name, part) for part in what]
        elif hasattr(what, "__dict__") and not isinstance(what, type | ModuleType | Layer):
            todo += vars(what).items()


def lets_the_layer_go(subject: Subject) -> str:
    """Forget the layer while its pullback lives: what both hold would stay in memory with them."""
    pullbacks, layers = [], []
    for training in MODES:
        with subject.on() as trial:
            pullbacks.append(trial.forward(trial.context(training))[1])
            layers += [ref(layer) for _, layer in trial.layer.named_layers()]
            del trial.layer
    alive = _count(layers)
    through = _holder(pullbacks)
    pullbacks.clear()
    if _count(layers) < alive:  # else somebody else holds them
        raise Failed(
            f"the pullback keeps {subject.layer.label} alive{through}; take what it needs from "
            "self and ctx into local names first"
        )
    return ""


def _count(layers: list[ref[Any]]) -> int:
    """Return how many of the layers are still in use."""
    if any(layer() for layer in layers):
        gc.collect()  # a layer may be in a cycle of its own
    return sum(layer() is not None for layer in layers)


def _holder(pullbacks: list[Any]) -> str:
    for name, what in reachable(pullbacks):
        if isinstance(what, Layer | Context):
            return f" through {name!r}"
    return ""


def memory_kept(subject: Subject) -> str:
    """Sum up the arrays that the pullback keeps beside the layer's own."""
    with subject.on() as trial:
        _, pullback = trial.forward(trial.context(training=True))
        arrays = (*trial.layer.params.values(), *trial.layer.buffers.values())
        seen = {id(_whole(array)) for array in arrays}
        kept: dict[str, int] = {}
        for name, what in reachable(pullback):
            if trial.backend.owns(what) and id(array := _whole(what)) not in seen:
                seen.add(id(array))
                kept[name] = kept.get(name, 0) + array.nbytes
    size = subject.x.nbytes
    parts = sorted(kept.items(), key=lambda item: -item[1])
    names = ", ".join(f"{name} {n / size:.3g}" for name, n in parts)
    return f"{sum(kept.values()) / size:.3g} times the input" + (f" ({names})" if names else "")


def _whole(array: Any) -> Any:
    """Return the array whose memory a view keeps."""
    while getattr(array, "base", None) is not None and hasattr(array.base, "nbytes"):
        array = array.base
    return array
