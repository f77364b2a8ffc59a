"""The command line.

``python -m portanet info`` prints what portanet finds on this computer;
``python -m portanet check MODULE:FACTORY --input 2,3,8,8`` checks a layer of your own.
"""

import argparse
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from io import TextIOWrapper

from portanet.cpus import usable_cpus
from portanet.layercheck import command

# The environment variables that decide what portanet does.
SETTINGS = (
    "PORTANET_BACKEND",
    "PORTANET_DATA",
    "PORTANET_THREADS",
    "PORTANET_KEEP_MEMORY",
    "CUPY_TF32",
    "CUDA_VISIBLE_DEVICES",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; returns the exit code. Without one it prints the help."""
    parser = argparse.ArgumentParser(
        prog="python -m portanet",
        description="Neural networks written once against the Python array API standard.",
    )
    commands = parser.add_subparsers(title="commands", dest="command")
    commands.add_parser("info", help="print versions, backends, devices and settings")
    check = commands.add_parser(
        "check",
        help="check a layer of your own",
        description="Check a layer: its gradients, the array API, dtypes, that a call changes "
        "nothing, and what its pullback keeps. Exit code 1 where a check fails, 2 where none can "
        "be made.",
    )
    command.add_arguments(check)
    if isinstance(sys.stdout, TextIOWrapper):  # a Windows console, or a C locale, lacks letters
        sys.stdout.reconfigure(errors="replace")
    chosen = parser.parse_args(arguments)
    if chosen.command == "info":
        print("\n".join(_info()))
    elif chosen.command == "check":
        return command.run(chosen)
    else:
        parser.print_help()
    return 0


def _info() -> Iterator[str]:
    """Yield the lines of ``info``: what to send along with a question or a bug report."""
    import array_api_compat
    import numpy as np

    import portanet

    backends = portanet.available_backends()
    yield from _table(
        {
            "portanet": portanet.__version__,
            "Python": f"{platform.python_version()} ({platform.python_implementation()})",
            "NumPy": np.__version__,
            "array-api-compat": array_api_compat.__version__,
            "platform": platform.platform(),
            "CPUs": _cpus(),
        }
        | {name: os.environ[name] for name in SETTINGS if name in os.environ}
        | {'backend "auto"': _auto()}
    )
    yield ""
    yield "Backends"
    width = max(map(len, backends), default=0)
    for name, reason in backends.items():
        yield f"  {name:<{width}}  {reason or 'ok'}"
        if reason is None:
            yield from _table(_facts(name), indent=width + 4)


def _auto() -> str:
    """Return the backend that "auto" takes here."""
    from portanet.backend import BackendError
    from portanet.selection import make_backend

    try:
        return make_backend("auto").name
    except BackendError as error:
        return f"none: {error}"


def _facts(name: str) -> dict[str, str]:
    """Return what a backend says of its library."""
    from portanet.selection import make_backend

    try:
        return make_backend(name).info()
    except Exception as error:  # one backend must not hide the others
        return {"failed": repr(error)}


def _cpus() -> str:
    """Return how many CPUs there are, and how many of them this process may use."""
    total, usable = os.cpu_count(), usable_cpus()
    return str(total) if usable == total else f"{total}, of which this process may use {usable}"


def _table(rows: dict[str, str], indent: int = 0) -> Iterator[str]:
    width = max(map(len, rows), default=0)
    for name, value in rows.items():
        yield f"{'':{indent}}{name:<{width}}  {value}"


if __name__ == "__main__":
    sys.exit(main())
