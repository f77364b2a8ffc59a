"""What those who know other libraries look for on a layer, and what there is instead."""

from typing import Any

_MODE = "the mode is an argument, forward(x, training=True); calling the layer is inference"
_OPTIMIZER = "an optimizer takes the model, as Adam(model); `params` holds the arrays by name"
_TRAINER = "Trainer(model, loss, optimizer) trains, evaluates and predicts"
_DTYPE = "to(dtype='float64') or to(dtype='float32') changes the arrays' dtype"
_FREEZE = "freeze() and unfreeze() say what is trained, `frozen` whether"
_STATE = "`params` holds the arrays by name; state_dict() and load_state_dict(state) take them all"

INSTEAD = {
    **dict.fromkeys(("parameters", "named_parameters", "trainable_weights"), _OPTIMIZER),
    **dict.fromkeys(("train", "eval", "training"), _MODE),
    **dict.fromkeys(("compile", "fit", "predict", "evaluate"), _TRAINER),
    **dict.fromkeys(("trainable", "requires_grad", "requires_grad_"), _FREEZE),
    **dict.fromkeys(("weights", "get_weights", "set_weights"), _STATE),
    **dict.fromkeys(("double", "float", "half"), _DTYPE),
    **dict.fromkeys(("modules", "named_modules", "layers"), "named_layers() yields them by name"),
    **dict.fromkeys(("add", "append"), "Sequential(a, b) takes all of its layers at once"),
    "zero_grad": "it is zero_grads()",
    "cuda": "to('cupy'), or to('torch', device='cuda')",
    "cpu": "to('numpy')",
    "add_module": "it is add_child(name, layer), or an attribute",
    "register_parameter": "it is add_parameter(name, shape, init)",
    "register_buffer": "it is add_buffer(name, shape, fill)",
    "apply": "initialize(weight=…, bias=…) draws all arrays anew",
}


def array_of(layer: Any, name: str) -> str | None:
    """Return where a layer's own array of this name is found, or None where it has none."""
    kept = vars(layer)  # which may be empty still, while a pickle is read
    for declared, arrays in (("_parameters", "params"), ("_buffers", "buffers")):
        if name in kept.get(declared, ()):
            return f"{arrays}[{name!r}]"
    return None


def of_reading(layer: Any, name: str) -> str | None:
    """Return what to do where a layer is asked for what it has not, or None for any word."""
    array = array_of(layer, name)
    return INSTEAD.get(name) if array is None else f"it is an array, {array}"


def of_assigning(layer: Any, name: str) -> str | None:
    """Return what to do where something is assigned that would have no effect, else None."""
    if array := array_of(layer, name):
        return f"{name!r} is an array of this layer: assign to {array}"
    if name in ("trainable", "requires_grad"):
        return f"there is no {name}; {_FREEZE}"
    return None
