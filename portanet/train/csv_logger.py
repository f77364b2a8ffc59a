"""A table of a run's epochs that other programs can read while it goes."""

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portanet.checks import path as as_path
from portanet.durable import write_whole
from portanet.train.callback import Callback
from portanet.train.history import History

if TYPE_CHECKING:
    from portanet.train.trainer import Trainer


class CSVLogger(Callback):
    """Keeps a run's `History` in a file of comma-separated values: a line for each epoch.

    Args:
        path: of the file; it is made anew when `fit` begins, in a folder that is there.

    The first line names the columns: ``epoch``, counted from 0, and the history's quantities. A
    number is written so that reading gives it back to the last bit; ``nan`` stands where an epoch
    has none, ``inf`` where it is infinite. A line is there when the next epoch begins, or the run
    ends, whatever other callbacks added to the epoch and wherever they stand in the list.

    The file always holds what the history holds, and nothing else: of a run that goes on from a
    checkpoint the epochs before it, none lost and none twice; of several calls of `fit` all. So
    there is no `append`, and another run needs another file.

    Raises OSError where the file cannot be written, before anything is trained.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = as_path("path", path).absolute()  # a program may go elsewhere
        self._written: dict[str, list[float]] | None = None
        self._columns: list[str] = []
        self._lines = 0

    def on_fit_begin(self, trainer: "Trainer") -> None:
        """Write what the history has so far."""
        self._write(trainer.history)

    def on_epoch_begin(self, trainer: "Trainer", epoch: int) -> None:
        """Add the epoch before."""
        self._update(trainer.history)

    def on_fit_end(self, trainer: "Trainer") -> None:
        """Add the last epoch."""
        self._update(trainer.history)

    def _update(self, history: History) -> None:
        """Add what is new; where that is a column, or the history was loaded, write it all."""
        if list(history) != self._columns or history.epochs is not self._written:
            self._write(history)
        elif len(history) > self._lines:
            with self.path.open("a", encoding="utf-8", newline="") as file:
                file.write(_text(_rows(history, self._lines)))
            self._lines = len(history)

    def _write(self, history: History) -> None:
        self._written, self._columns, self._lines = history.epochs, list(history), len(history)
        head = [["epoch", *self._columns]] if self._columns else []
        table = _text([*head, *_rows(history, 0)]).encode()
        write_whole(self.path, lambda file: file.write(table))


def _rows(history: History, first: int) -> Iterator[list[Any]]:
    """Yield the numbers of the epochs from the `first` on."""
    columns = (column[first:] for column in history.epochs.values())
    for epoch, numbers in enumerate(zip(*columns, strict=True), first):
        yield [epoch, *map(float, numbers)]


def _text(rows: Iterable[list[Any]]) -> str:
    import csv

    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
