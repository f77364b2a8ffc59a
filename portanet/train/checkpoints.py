"""A folder of checkpoints: the last few of a run, the best one, and which of them can be read."""

import os
import re
import shutil
import warnings
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from portanet.checks import CheckedOptions, integer
from portanet.checks import path as as_path
from portanet.durable import replacing, write_whole
from portanet.storage import CheckpointError, pack, read_state, write_tensors
from portanet.train.lock import check_alone
from portanet.version import __version__

if TYPE_CHECKING:
    from portanet.train.trainer import Trainer

STEP, CALL = (re.compile(rf"{word}-(\d+)\.safetensors") for word in ("step", "call"))
BEST, END = "best.safetensors", "call-{}.safetensors"
OWN = ("step-*.safetensors", "call-*.safetensors", BEST)
PARTS = (  # of a run's state
    *("classes", "model", "optimizer", "schedule", "callbacks", "history", "best", "unfinished"),
    *("layout", "seed", "epoch", "step", "calls", "running", "began", "stop_training"),
)


class Checkpoints(metaclass=CheckedOptions):
    """Where and how often a run is saved: ``fit(…, checkpoint=Checkpoints("run", steps=1000))``.

    Args:
        folder: of this run alone, which a lock sees to while `fit` is at work; it is made where its
            parent is there.
        keep: how many of the newest files stay.
        steps: also save every so many steps. In any case a run is saved before it begins, at the
            end of each epoch, and when a signal ends it.

    The files are ``step-00000469.safetensors``, by the number of steps done, and
    ``best.safetensors``, the best epoch by validation. Where `fit` is called several times, the
    ends of its earlier calls are kept as ``call-1.safetensors``, …: a script that is started again
    goes through them. Each file holds the whole run.
    """

    def __init__(self, folder: str | Path, keep: int = 3, steps: int | None = None) -> None:
        self.folder = as_path("folder", folder).absolute()  # a program may go elsewhere
        if self.folder.is_file():
            raise NotADirectoryError(f"{self.folder} is a file; a run is saved in a folder")
        self.keep = integer("keep", keep)
        self.steps = None if steps is None else integer("steps", steps)

    @classmethod
    def of(cls, checkpoint: "str | Path | Checkpoints | None") -> Self | None:
        """Return what `fit` was given as one of these."""
        if checkpoint is None or isinstance(checkpoint, cls):
            return checkpoint
        return cls(checkpoint)  # type: ignore[arg-type]

    def files(self) -> dict[int, Path]:
        """Return the run's files by the number of steps done, the newest first."""
        return self._numbered(STEP)

    def _numbered(self, name: re.Pattern[str]) -> dict[int, Path]:
        found = self.folder.iterdir() if self.folder.is_dir() else ()
        named = ((name.fullmatch(path.name), path) for path in found)
        return dict(sorted(((int(match[1]), path) for match, path in named if match), reverse=True))

    def is_due(self, step: int) -> bool:
        """Say whether to save after this step."""
        return self.steps is not None and step % self.steps == 0

    def latest(self) -> dict[str, Any] | None:
        """Return the newest state that can be read; warn of those that cannot.

        None where there is no file; raises CheckpointError where there are, and all are damaged.
        """
        files = [*self.files().values(), *self._numbered(CALL).values()]
        for path in files:
            try:
                return read_run(path)
            except (CheckpointError, OSError) as error:
                warnings.warn(f"{error}; taking the one before", stacklevel=6)
        if not files:
            return None
        message = f"{self.folder}: none of {len(files)} checkpoints can be read"
        with suppress(CheckpointError, OSError):
            read_run(best := self.folder / BEST)
            message += f"; but {best} can: a run in another folder may resume it"
        raise CheckpointError(message)

    def write(self, trainer: "Trainer", best: bool) -> Path:
        """Save a run; then, and only then, delete what is not kept.

        Raises OSError where that fails, such as where another run has come into the folder; the
        older files are left.
        """
        check_alone(self.folder)
        with suppress(FileExistsError):
            self.folder.mkdir()
        path = self.folder / f"step-{trainer.step:08d}.safetensors"
        write_run(path, trainer)
        if best:
            _link(path, self.folder / BEST)
        # One with more steps is of no run that this one went on from: left to its owner.
        older = [file for step, file in self.files().items() if step <= trainer.step]
        _delete(older[self.keep :])
        return path

    def keep_end(self) -> None:
        """Give the newest file a name that stays, where a call of `fit` ended with it."""
        for path in self.files().values():
            with suppress(CheckpointError, OSError):
                state = read_run(path)
                if not state["running"]:
                    _link(path, self.folder / END.format(state["calls"]))
                return

    def end_of(self, call: int) -> dict[str, Any]:
        """Return the state at the end of a call of `fit`, counted from 1, that is not the last.

        Raises CheckpointError where it cannot be read.
        """
        path = self.folder / END.format(call)
        try:
            return read_run(path)
        except (CheckpointError, OSError) as error:
            raise CheckpointError(
                f"call {call} of fit is finished, but what it ended with cannot be read: {error}; "
                f"a later call goes on with resume={str(next(iter(self.files().values())))!r}"
            ) from error

    def clear(self) -> None:
        """Delete what a run that was killed left half-written, and nobody else's."""
        left = (path for name in OWN for path in self.folder.glob(f".{name}.*.tmp"))
        _delete(left)


def _delete(paths: Iterable[Path]) -> None:
    """Delete files; what Windows keeps because somebody reads it goes the next time."""
    for path in paths:
        with suppress(FileNotFoundError, PermissionError):
            path.unlink()


def _link(path: Path, name: Path) -> None:
    """Give a file a second name, in one step; where the file system cannot, copy it."""
    try:
        with replacing(name) as temporary:
            os.link(path, temporary)
    except OSError:
        with path.open("rb") as file:
            write_whole(name, partial(shutil.copyfileobj, file))


def write_run(path: Path, trainer: "Trainer") -> None:
    """Write all that a run is made of into one file: a new one, or none."""
    if path.suffix != ".safetensors":
        raise ValueError(f"{path}: a run is written as .safetensors")
    state, arrays = pack(trainer.state_dict())
    backend = trainer.model.backend
    words = {
        "portanet": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "backend": backend.name,
        "dtype": backend.dtype,
        "state": state,
    }
    write_tensors(path, arrays, words)


def read_run(path: Path) -> dict[str, Any]:
    """Return the state that `write_run` wrote, its arrays NumPy's.

    Raises FileNotFoundError, and CheckpointError where the file is damaged or holds no run.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: fit(checkpoint={str(path)!r}, resume='auto')")
    if not path.is_file():
        raise FileNotFoundError(f"there is no checkpoint {path}")
    _, state = read_state(path)
    if state is None:
        raise CheckpointError(f"{path}: holds weights alone, no run; load_weights reads them")
    if not isinstance(state, dict) or not state.keys() >= set(PARTS):
        raise CheckpointError(f"{path}: holds no run of this version's kind")
    return state
