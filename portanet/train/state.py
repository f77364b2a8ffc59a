"""All that a run is made of, as one state: what a checkpoint holds."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from warnings import warn

from portanet.checks import complete
from portanet.checks import path as as_path
from portanet.storage import CheckpointError
from portanet.train.callback import Callback
from portanet.train.checkpoints import PARTS, Checkpoints, read_run
from portanet.train.history import Best
from portanet.train.step import Sums
from portanet.train.unfinished import Unfinished

if TYPE_CHECKING:
    from portanet.train.trainer import Trainer


def state_of(trainer: "Trainer", callbacks: bool = True) -> dict[str, Any]:
    """Return copies of everything that decides how a run goes on; see `Trainer.state_dict`."""
    place, best, schedule = trainer._run, trainer.best, trainer.schedule
    unfinished = place.unfinished
    if unfinished is not None:
        unfinished.record(trainer.history)
    return {
        "classes": _classes(trainer),
        "model": trainer.model.state_dict(),
        "optimizer": trainer.optimizer.state_dict(),
        "schedule": schedule and schedule.state_dict(),
        "callbacks": [
            {"class": type(callback).__name__, "state": callback.state_dict()}
            for callback in (trainer.callbacks if callbacks else ())
        ],
        "history": trainer.history.state_dict(),
        "best": best and vars(best) | {"weights": dict(best.weights)},
        "unfinished": unfinished and unfinished.state_dict(),
        "layout": place.layout,
        "seed": trainer.seed,
        "epoch": trainer.epoch,
        "step": trainer.step,
        "calls": place.calls,
        "running": place.running,
        "began": place.began,
        "stop_training": trainer.stop_training,
    }


def restore(trainer: "Trainer", state: Mapping[str, Any], callbacks: bool = True) -> None:
    """Bring a trainer into a state; where it does not fit, ValueError, and nothing has changed.

    Without `callbacks` these are left to `restore_callbacks`.
    """
    own, saved = _classes(trainer), complete("Trainer", state, PARTS)["classes"]
    if own != saved:
        other = [
            f"{kind} {saved[kind]}, not {own[kind]}" for kind in own if own[kind] != saved[kind]
        ]
        raise ValueError(f"the saved run has another {'; another '.join(other)}")
    matching(trainer, state)
    before = state_of(trainer, callbacks)
    try:
        _restore(trainer, state)
        if callbacks:
            restore_callbacks(trainer, state)
    except BaseException:
        _restore(trainer, before)
        if callbacks:
            restore_callbacks(trainer, before)
        raise


def _classes(trainer: "Trainer") -> dict[str, str | None]:
    return {
        "optimizer": type(trainer.optimizer).__name__,
        "schedule": None if trainer.schedule is None else type(trainer.schedule).__name__,
        "loss": type(trainer.loss).__name__,
        "monitor": trainer.monitor,
    }


def _restore(trainer: "Trainer", state: Mapping[str, Any]) -> None:
    trainer.model.load_state_dict(state["model"])
    trainer.optimizer.load_state_dict(state["optimizer"])
    if trainer.schedule is not None:
        trainer.schedule.load_state_dict(state["schedule"])
    trainer.history.load_state_dict(state["history"])
    backend, best, unfinished = trainer.model.backend, state["best"], state["unfinished"]
    trainer.best = best and Best(
        best["epoch"],
        best["value"],
        {name: backend.asarray(array) for name, array in best["weights"].items()},
    )
    place = trainer._run
    place.unfinished = None
    if unfinished is not None:
        place.unfinished = Unfinished(Sums(backend, trainer.loss.reduction))
        place.unfinished.load_state_dict(unfinished)
    for name in ("layout", "calls", "running", "began"):
        setattr(place, name, state[name])
    for name in ("seed", "epoch", "step", "stop_training"):
        setattr(trainer, name, state[name])


def restore_callbacks(trainer: "Trainer", state: Mapping[str, Any]) -> None:
    """Give each callback that had remembered something its state back."""
    for callback, saved in matching(trainer, state):
        if saved:
            callback.load_state_dict(saved)


def matching(trainer: "Trainer", state: Mapping[str, Any]) -> list[tuple[Callback, dict[str, Any]]]:
    """Return callbacks with their saved states; they are told apart by class and order.

    One that the saved run did not have begins anew. Raises ValueError where one is missing.
    """
    present, pairs = list(trainer.callbacks), []
    for saved in state["callbacks"]:
        found = next((c for c in present if type(c).__name__ == saved["class"]), None)
        if found is not None:
            present.remove(found)
            pairs.append((found, saved["state"]))
        elif saved["state"]:
            raise ValueError(
                f"the saved run has a callback {saved['class']}, which is missing here"
            )
    return pairs


def saved_state(
    trainer: "Trainer", checkpoints: Checkpoints | None, resume: str | Path | None
) -> dict[str, Any] | None:
    """Return the state that `fit` is to go on from, or None where that is the present one."""
    if resume is None:
        own = trainer._run.folder
        if checkpoints and checkpoints.files() and checkpoints.folder.resolve() != own:
            raise ValueError(
                f"{checkpoints.folder} holds checkpoints of an earlier run: resume='auto' goes on "
                "with it; a new run needs a folder of its own"
            )
        return None
    if resume != "auto":
        state = read_run(as_path("resume", resume))
        if checkpoints and max(checkpoints.files(), default=0) > state["step"]:
            raise ValueError(
                f"{checkpoints.folder} holds checkpoints later than {resume}: a run that goes back "
                "needs a folder of its own"
            )
        return state
    if checkpoints is None:
        raise ValueError("resume='auto' needs checkpoint=FOLDER")
    found = checkpoints.latest()
    return found if found and call_of(found) >= trainer._run.calls else None


def call_of(state: Mapping[str, Any]) -> int:
    """Return in which call of `fit` a state was saved, or at whose end, counted from 0."""
    return int(state["calls"]) - (not state["running"])


def go_on(
    trainer: "Trainer", state: Mapping[str, Any], checkpoints: Checkpoints | None, auto: bool
) -> bool:
    """Go on from a saved state; or return False where this call of `fit` is done already."""
    place, given = trainer._run, _options(trainer)
    done = auto and call_of(state) > place.calls  # a later call has saved, and will go on from it
    if done and checkpoints is not None:
        state = checkpoints.end_of(place.calls + 1)
    try:
        restore(trainer, state, callbacks=done)
    except ValueError as error:
        raise CheckpointError(f"the checkpoint does not fit: {error}") from error
    if done:
        _warn_of_others(_options(trainer), given)
    else:
        place.calls, place.given = call_of(state), given
    return not done


def _options(trainer: "Trainer") -> dict[str, Any]:
    """Return the options that a saved run brings with it: the seed and the hyperparameters."""
    options = {} if trainer._run.any_seed else {"the Trainer's seed": trainer.seed}
    for name, group in trainer.optimizer.groups.items():
        options |= {f"{name}.{n}" if name else n: value for n, value in group.initial.items()}
    return options


def _warn_of_others(saved: dict[str, Any], given: dict[str, Any]) -> None:
    names = [n for n in saved | given if saved.get(n) != given.get(n)]
    if names:
        others = "; ".join(f"{n} was {saved.get(n)}, now {given.get(n)}" for n in names)
        warn(
            f"the saved run had other options: {others}. Its seed and hyperparameters stay as "
            "saved, the data are taken as they are now",
            stacklevel=6,  # whoever called fit
        )


def begin(trainer: "Trainer", layout: dict[str, Any], resumed: bool) -> tuple[int, int]:
    """Begin a call of `fit`, or go on with one; return its first epoch and step."""
    place = trainer._run
    if not resumed:
        if place.unfinished is not None:  # an epoch that was interrupted is over, if it had begun
            trainer.epoch += place.unfinished.steps > 0
            place.unfinished = None
        place.began, trainer.stop_training = (trainer.epoch, trainer.step), False
    elif place.unfinished is not None and layout != place.layout:
        names = [n for n in layout | place.layout if layout.get(n) != place.layout.get(n)]
        was, now = ({n: kept.get(n) for n in names} for kept in (place.layout, layout))
        raise CheckpointError(
            f"the saved run stopped within an epoch of {was}; it cannot go on with {now}"
        )
    else:
        _warn_of_others(_options(trainer) | place.layout, place.given | (place.layout and layout))
    place.layout, place.running, trainer.history.interrupted = layout, True, 0
    return place.began
