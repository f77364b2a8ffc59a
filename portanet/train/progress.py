"""What a run shows while it goes: a bar on a terminal, and a line for each epoch."""

import signal
import sys
from contextlib import suppress
from math import inf
from typing import Any, Self

# Where nobody reads on, as when `tee` ends by the same Ctrl-C, the run still goes its way.
no_reader = suppress(OSError, ValueError)


class Progress:
    """Prints one line an epoch; on a terminal, with tqdm installed, a bar of steps meanwhile."""

    def __init__(self, last_epoch: float, enabled: bool) -> None:
        self._last, self._enabled = last_epoch, enabled
        self._tqdm = _tqdm() if enabled else None
        self._bar: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._close()

    def begin(self, epoch: int, steps: int | None) -> None:
        """Show that an epoch, counted from 0, begins."""
        if self._tqdm is not None:
            with no_reader:
                title = self._title(epoch)
                self._bar = self._tqdm(total=steps, desc=title, unit="step", leave=False)

    def step(self) -> None:
        """Show one step more."""
        if self._bar is not None:
            with no_reader:
                self._bar.update()

    def end(self, epoch: int, logs: dict[str, float]) -> None:
        """Show an epoch's numbers."""
        self.say(f"{self._title(epoch)}  {line(logs)}")

    def say(self, text: str) -> None:
        """Show a line."""
        self._close()
        if self._enabled:
            with no_reader:
                # A metric may have a name that a console of Windows has no letters for.
                encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
                print(text.encode(encoding, "replace").decode(encoding), flush=True)

    def interrupted(self, number: int, step: int) -> None:
        """Show after which step a signal ended the run, whether or not the rest is shown."""
        self._close()
        name = "interrupted" if number == signal.SIGINT else "told to end"
        with no_reader:
            print(f"\n{name}: ended after step {step}", file=sys.stderr, flush=True)

    def _close(self) -> None:
        bar, self._bar = self._bar, None
        if bar is not None:
            with no_reader:
                bar.close()

    def _title(self, epoch: int) -> str:
        return f"epoch {epoch + 1}" + (f"/{self._last}" if self._last < inf else "")


def line(logs: dict[str, float]) -> str:
    """Return an epoch's numbers in one line."""
    words = [
        f"{quantity} {value:.4f}"
        for quantity, value in logs.items()
        if quantity not in ("lr", "seconds", "samples_per_second")
    ]
    if "samples_per_second" in logs:
        words.append(f"{logs['samples_per_second']:,.0f} samples/s  {logs['seconds']:.1f} s")
    return "  ".join(words)


def _tqdm() -> Any:
    """Return the class of bars, where a terminal can show one, or None."""
    with suppress(ImportError, AttributeError, ValueError):  # stderr may be None, or closed
        if sys.stderr.isatty():
            from tqdm import tqdm

            return tqdm
    return None
