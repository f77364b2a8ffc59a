"""What a training run recorded, and its picture."""

from collections.abc import Iterator, KeysView, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portanet.backend import Array
from portanet.checks import path as as_path


@dataclass(frozen=True)
class Best:
    """The best epoch by validation: its place in the history, its value, the model's state then."""

    epoch: int
    value: float
    weights: dict[str, Array] = field(repr=False)


class History:
    """The numbers of a run.

    epochs: for each quantity a list with one number an epoch: ``loss``, the metrics, the same of
        the validation data under ``val_…``, ``lr``, ``seconds``, ``samples_per_second``. The
        training numbers are means over the epoch while the parameters were changing.
        With ``on_nan="skip"`` or ``"rollback"`` also ``undone``: how many steps were.
    steps: for each step ``loss`` and ``lr``.
    interrupted: the number of the signal that ended the run, such as Ctrl-C's 2, or 0. A program
        that ends because of it returns ``128 + interrupted``.

    ``history["val_loss"]`` is short for ``history.epochs["val_loss"]``, and ``in``, `keys` and
    iteration are those of `epochs`; ``len(history)`` is the number of epochs, as a data frame's
    length is that of its columns. It is true before the first epoch, too.
    """

    def __init__(self) -> None:
        self.epochs: dict[str, list[float]] = {}
        self.steps: dict[str, list[float]] = {"loss": [], "lr": []}
        self.interrupted = 0

    def __getitem__(self, quantity: str) -> list[float]:
        if quantity not in self.epochs:
            known = ", ".join(self.epochs) or "none yet"
            raise KeyError(f"no quantity {quantity!r} in the history; there are: {known}")
        return self.epochs[quantity]

    def __iter__(self) -> Iterator[str]:
        return iter(self.epochs)

    def __contains__(self, quantity: object) -> bool:
        return quantity in self.epochs

    def keys(self) -> KeysView[str]:
        """Return the names of the quantities."""
        return self.epochs.keys()

    def __len__(self) -> int:
        return len(self.epochs.get("loss", ()))

    def __bool__(self) -> bool:
        return True

    if not TYPE_CHECKING:  # where a name that is missing is an error already

        def __getattr__(self, name: str) -> Any:
            if name == "history":  # Keras's
                raise AttributeError("a History has no 'history': `epochs` is the dict of lists")
            return object.__getattribute__(self, name)

    def __repr__(self) -> str:
        return f"<History of {len(self)} epochs: {', '.join(self) or 'nothing yet'}>"

    def append(self, logs: dict[str, float]) -> None:
        """Record an epoch; a quantity that earlier epochs lacked is NaN there."""
        done = len(self)
        for quantity, value in logs.items():
            column = self.epochs.setdefault(quantity, [])
            column.extend([float("nan")] * (done - len(column)))
            column.append(value)
        for column in self.epochs.values():
            column.extend([float("nan")] * (done + 1 - len(column)))

    def complete(self, added: Mapping[str, Any]) -> dict[str, float]:
        """Add numbers to the last epoch and return them; raise TypeError where one is none."""
        numbers = {}
        for quantity, value in added.items():
            try:
                numbers[quantity] = float(value)
            except (TypeError, ValueError):
                raise TypeError(f"logs[{quantity!r}] must be a number, got {value!r}") from None
        for quantity, value in numbers.items():
            self.epochs.setdefault(quantity, [float("nan")] * len(self))[-1] = value
        return numbers

    def state_dict(self) -> dict[str, Any]:
        """Return the numbers, as `load_state_dict` takes them."""
        columns = {"epochs": self.epochs, "steps": self.steps}
        return {kind: {n: list(c) for n, c in named.items()} for kind, named in columns.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict`."""
        self.epochs = {name: list(column) for name, column in state["epochs"].items()}
        self.steps = {name: list(column) for name, column in state["steps"].items()}

    def plot(self, path: str | Path | None = None) -> Any:
        """Return a matplotlib figure of the loss and the metrics by epoch; save it to `path`.

        Raises ImportError, with the command that installs it, where matplotlib is missing, and
        ValueError where no epoch was finished.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ImportError(
                "plots need matplotlib; install it with: pip install matplotlib"
            ) from error
        if not len(self):
            raise ValueError("there is nothing to plot: no epoch was finished")
        aside = {"lr", "seconds", "samples_per_second"}
        names = [name.removeprefix("val_") for name in self.epochs if name not in aside]
        quantities = list(dict.fromkeys(names))
        figure = Figure(figsize=(4.8 * len(quantities), 3.6), layout="constrained")
        all_axes = figure.subplots(1, len(quantities), squeeze=False)[0]
        epochs, shown = range(1, len(self) + 1), {}
        for axes, quantity in zip(all_axes, quantities, strict=True):
            # Colors of Okabe and Ito, which color-blind readers can tell apart.
            for prefix, label, style, color in (
                ("", "training", "o-", "#0072B2"),
                ("val_", "validation", "s--", "#D55E00"),
            ):
                if prefix + quantity in self.epochs:
                    column = self.epochs[prefix + quantity]
                    (shown[label],) = axes.plot(epochs, column, style, color=color, label=label)
            axes.set(xlabel="epoch", ylabel=quantity, title=f"{quantity} by epoch")
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.grid(alpha=0.3)
        figure.legend(handles=list(shown.values()), loc="outside lower center", ncols=2)
        if path is not None:
            figure.savefig(as_path("path", path), dpi=150)
        return figure
