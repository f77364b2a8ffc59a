"""What a run shows while it goes: a bar on a terminal, and a line for each epoch."""

import sys
from typing import Any, Self


class Progress:
    """Prints one line an epoch; on a terminal, with tqdm installed, a bar of steps meanwhile."""

    def __init__(self, epochs: int | None, enabled: bool) -> None:
        self._epochs, self._enabled = epochs, enabled
        self._tqdm = _tqdm() if enabled and sys.stderr.isatty() else None
        self._bar: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._close()

    def begin(self, epoch: int, steps: int | None) -> None:
        """Show that an epoch, counted from 0, begins."""
        if self._tqdm is not None:
            self._bar = self._tqdm(total=steps, desc=self._title(epoch), unit="step", leave=False)

    def step(self) -> None:
        """Show one step more."""
        if self._bar is not None:
            self._bar.update()

    def end(self, epoch: int, logs: dict[str, float]) -> None:
        """Show an epoch's numbers."""
        self._close()
        if self._enabled:
            print(f"{self._title(epoch)}  {line(logs)}", flush=True)

    def say(self, text: str) -> None:
        """Show a line."""
        if self._enabled:
            print(text, flush=True)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _title(self, epoch: int) -> str:
        return f"epoch {epoch + 1}" + (f"/{self._epochs}" if self._epochs else "")


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
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm
