"""Ctrl-C at a safe place: the step in hand is finished, then the run ends."""

import signal
import sys
import threading
from types import FrameType
from typing import Any, Self


class Interrupt:
    """Within its ``with`` block the first Ctrl-C only sets `requested`; the second one raises.

    Python's own handler raises KeyboardInterrupt anywhere, such as between two halves of an
    update. It is replaced only in the main thread and where nobody else has replaced it before,
    and put back at the end.
    """

    def __init__(self) -> None:
        self.requested = False
        self._before: Any = None

    def __enter__(self) -> Self:
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._before = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *exception: object) -> None:
        self._put_back()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            self._put_back()
            raise KeyboardInterrupt
        self.requested = True
        print("\ninterrupted: ending after this step (Ctrl-C again ends at once)", file=sys.stderr)

    def _put_back(self) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None
