"""What a check of a layer says: one line for each thing that was looked at."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "FAIL", "skipped", "note"]


class Failed(Exception):
    """A check found a fault; the message says what, with numbers."""


class Skipped(Exception):
    """A check does not apply, or cannot be made here; the message says why."""


@dataclass(frozen=True)
class Line:
    """What one check says.

    name: what was looked at.
    status: ``"ok"``, ``"FAIL"``, ``"skipped"``, or ``"note"`` where nothing can be wrong.
    message: numbers, the fault and where to look for it, or the reason to skip.
    """

    name: str
    status: Status
    message: str


@dataclass(frozen=True)
class LayerReport:
    """What `check_layer` found; ``print(report)`` shows a table.

    subject: the layer and its arrays, in words.
    lines: what each check says.
    """

    subject: str
    lines: tuple[Line, ...]

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return not self.failed

    @property
    def failed(self) -> tuple[Line, ...]:
        """The lines of the checks that failed."""
        return tuple(line for line in self.lines if line.status == "FAIL")

    def __str__(self) -> str:
        return "\n".join(self._table())

    def _table(self) -> Iterator[str]:
        width = max(len(line.name) for line in self.lines)
        yield self.subject
        yield ""
        for line in self.lines:
            name = f"  {line.status:<7}  {line.name:<{width}}"
            if line.status == "FAIL":  # its message is long
                yield name.rstrip()
                yield from (f"           -> {text}" for text in line.message.splitlines())
            else:
                yield f"{name}  {line.message}".rstrip()
        statuses: list[str] = [line.status for line in self.lines]
        words = {"ok": "ok", "FAIL": "failed", "skipped": "skipped"}
        yield ""
        yield ", ".join(f"{statuses.count(s)} {word}" for s, word in words.items())
