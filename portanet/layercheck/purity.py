"""Does a call leave everything as it was: its arguments, its results, the layer?"""

from typing import Any

from portanet.layercheck.compare import Results, agree
from portanet.layercheck.report import Failed
from portanet.layercheck.subject import MODES, Subject, Trial


def takes_read_only(subject: Subject) -> str:
    """Run on an x and a dy that cannot be written to."""
    for training in MODES:
        with subject.on() as trial:
            x = trial.x()
            y, pullback = trial.layer.vjp(_frozen(x), trial.context(training))
            pullback(_frozen(trial.dy(y)))
    return ""


def _frozen(array: Any) -> Any:
    array.flags.writeable = False
    return array


def changes_nothing(subject: Subject) -> str:
    """Compare x, y, dy, parameters and buffers before and after."""
    for training in MODES:
        with subject.on() as trial:
            arrays: Results = {"x": trial.x(), **trial.layer.params, **trial.layer.buffers}
            before = trial.to_host(arrays)
            y, pullback = trial.layer.vjp(arrays["x"], trial.context(training))
            _compare(subject, trial, arrays, before, "the forward pass changed it in place")
            arrays |= {"y": y, "dy": trial.dy(y)}
            before = trial.to_host(arrays)
            pullback(arrays["dy"])
            _compare(subject, trial, arrays, before, "the pullback changed it in place")
    return ""


def _compare(subject: Subject, trial: Trial, now: Results, before: Results, hint: str) -> None:
    agree(subject.xp, trial.to_host(now), before, hint, rtol=0.0)


def stores_nothing(subject: Subject) -> str:
    """Compare the layer's attributes before and after: calls in other threads share them."""
    with subject.on() as trial:
        for training in MODES:
            before = _attributes(trial)
            trial.run(training)
            after = _attributes(trial)
            changed = [n for n in after if n not in before or [after[n]] != [before[n]]]
            if changed:
                raise Failed(
                    f"the call stored {', '.join(changed)}; keep what the pullback needs in local "
                    "names, return gradients, and put new values of buffers into ctx.updates"
                )
    return ""


def _attributes(trial: Trial) -> dict[str, Any]:
    """Return what hangs on the layer and its children but its own arrays, by name."""
    return {
        ".".join(filter(None, ("self", n, attribute))): _value(value)
        for n, layer in trial.layer.named_layers()
        for attribute, value in vars(layer).items()
        if attribute not in ("_own_params", "_own_buffers")  # changes_nothing looks at them
    }


def _value(value: Any) -> Any:
    """Return what compares equal as long as nothing in `value` changes."""
    if isinstance(value, dict):
        return {key: _value(part) for key, part in value.items()}
    if isinstance(value, list | tuple | set):
        return [_value(part) for part in value]
    return (str(value.dtype), value.shape, value.tobytes()) if hasattr(value, "tobytes") else value
