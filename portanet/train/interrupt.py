"""Signals at a safe place: the step in hand is finished, then the run ends."""

import signal
import threading
from types import FrameType
from typing import Any, Self


class Interrupt:
    """Within its ``with`` block the first signal only sets `requested`; a second one acts at once.

    Python's own handler of Ctrl-C raises KeyboardInterrupt anywhere, such as between two halves of
    an update. It is replaced only in the main thread and where nobody else has replaced it before,
    and put back at the end. With `terminate`, the same is done with SIGTERM, by which systems that
    schedule jobs announce their end, and with Windows's SIGBREAK, by which programs there do.

    The handler does nothing that may fail, for an error would come out of wherever the run is: it
    is `Run` that says what has come.

    requested: the signal's number, or 0.
    """

    def __init__(self, terminate: bool = False) -> None:
        self.requested = 0
        # What stands where nobody has put a handler of their own.
        self._defaults: dict[signal.Signals, Any] = {signal.SIGINT: signal.default_int_handler}
        for name in ("SIGTERM", "SIGBREAK") if terminate else ():
            if hasattr(signal, name):
                self._defaults[getattr(signal, name)] = signal.SIG_DFL
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number, default in self._defaults.items():
                if signal.getsignal(number) is default:
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exception: object) -> None:
        self._put_back()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            self._put_back()
            signal.raise_signal(number)
            return
        self.requested = number

    def _put_back(self) -> None:
        while self._before:
            signal.signal(*self._before.popitem())
