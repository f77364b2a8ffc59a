"""What the commands share: their options, the machine in words, the file of figures."""

import argparse
import json
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from portanet.cpus import usable_cpus


def machine() -> str:
    """Return the machine in words."""
    cores = f"{usable_cpus()} core" + "s" * (usable_cpus() > 1)
    return f"{platform.machine()}, {cores}, Python {platform.python_version()}"


def options(
    module: str, what: str | None, things: Iterable[str], seconds: float | None = None
) -> Any:
    """Return a parser with the options that all commands take; not all go by `seconds`."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=what)
    option = parser.add_argument
    option("--only", help="with commas: " + ", ".join(things))
    if seconds is not None:
        length = f"length of one timing (default: {seconds:g})"
        option("--seconds", type=float, default=seconds, help=length)
    option("--quick", action="store_true", help="as little as possible: to see that it runs")
    option("--json", metavar="FILE", type=writable, help="write all figures")
    return parser


def writable(path: str) -> Path:
    """Return an output's path, or complain before, not after, the minutes of measuring."""
    if not Path(path).absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder for {path}")
    return Path(path)


def chosen(parser: Any, given: str | None, known: Iterable[str]) -> list[str]:
    """Return the names that an option lists, or all where it is not given."""
    names = given.split(",") if given else list(known)
    unknown = [name for name in names if name not in known]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(known)}")
    return names


def write(path: Path | None, **figures: Any) -> None:
    """Write the figures and the machine as JSON, where a file was asked for."""
    if path is not None:
        path.write_text(json.dumps({"machine": machine(), **figures}, indent=1))
