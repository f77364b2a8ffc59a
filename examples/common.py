"""What the example programs share: their options, where they write, how they end."""

import argparse
import io
import math
import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import redirect_stderr, redirect_stdout
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import threadpoolctl

import portanet as pn
from portanet import data

Item = TypeVar("Item")
Result = TypeVar("Result")

# Colors of Okabe and Ito, which color-blind readers can tell apart; with the line styles below
# they serve for many curves.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES = ("-", "--", ":", "-.")


def positive_int(text: str) -> int:
    if (number := int(text)) < 1:
        raise ValueError  # argparse says which option it is of
    return number


def positive_float(text: str) -> float:
    if not 0 < (number := float(text)) < math.inf:
        raise ValueError
    return number


def writable(*suffixes: str) -> Callable[[str], Path]:
    """Return a check, before any training, that a file of such a suffix can be written."""

    def check(text: str) -> Path:
        path = Path(text)
        if path.suffix not in suffixes:
            raise argparse.ArgumentTypeError(f"{text} must end in {' or '.join(suffixes)}")
        if not path.parent.is_dir():
            raise argparse.ArgumentTypeError(f"there is no folder {path.parent} to hold {text}")
        places = [path.parent, path] if path.exists() else [path.parent]
        if path.is_dir() or not all(os.access(place, os.W_OK) for place in places):
            raise argparse.ArgumentTypeError(f"{text} cannot be written")
        return path

    return check


def parser_of(document: str) -> argparse.ArgumentParser:
    """Return a parser with the options that every program has."""
    parser = argparse.ArgumentParser(description=document.partition("\n")[0])
    option = parser.add_argument
    option("--backend", help="auto, numpy, cupy, torch (default: PORTANET_BACKEND, else auto)")
    option("--seed", type=int, default=0, help="of weights and order (default: 0)")
    option("--quick", action="store_true", help="little data and few epochs: to see that it runs")
    option(
        "--plot",
        metavar="FILE.png",
        type=writable(".png", ".pdf", ".svg"),
        help="draw the curves: .png, .pdf or .svg",
    )
    return parser


def parsed(parser: argparse.ArgumentParser, arguments: list[str] | None) -> argparse.Namespace:
    """Return the arguments, or end the program where a plot is wanted that cannot be drawn."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a Windows console, or a C locale, lacks letters
        sys.stdout.reconfigure(errors="replace")
    args = parser.parse_args(arguments)
    if args.plot:
        try:
            import matplotlib.figure  # noqa: F401
        except ImportError as error:
            parser.error(f"--plot needs matplotlib ({error}): pip install matplotlib")
    return args


def select_backend(name: str | None) -> pn.Backend:
    """Select the backend that was asked for, and say which it is."""
    backend = pn.set_backend(name or os.environ.get("PORTANET_BACKEND") or "auto")
    print(f"portanet {pn.__version__}, backend {backend}")
    return backend


def in_order(
    function: Callable[[Item], Result], items: Iterable[Item], jobs: int
) -> Iterator[Result]:
    """Yield ``function(item)`` for item after item, with `jobs` of them at work at once.

    Each job is a process of its own with the backend that is selected here, so function, items and
    results must be picklable. What a function prints is shown when its result is due: results and
    output are the same for any number of jobs. Items are taken as they are needed. Closing the
    iterator ends what is still at work.
    """
    if jobs == 1:
        yield from map(function, items)
        return
    left = iter(items)
    before = multiprocessing.active_children()
    # Not forked: a copy of this process would share its threads' locks and its GPU.
    pool = ProcessPoolExecutor(
        jobs, multiprocessing.get_context("spawn"), _begin, (pn.get_backend().name, function)
    )
    try:
        waiting = deque(pool.submit(_run, item) for item in islice(left, jobs))
        while waiting:
            result, said = waiting.popleft().result()
            waiting.extend(pool.submit(_run, item) for item in islice(left, 1))
            print(said, end="", flush=True)
            yield result
    except BrokenProcessPool as error:
        reason = "a job was ended from outside, perhaps for want of memory: try --jobs 1"
        raise ChildProcessError(reason) from error
    finally:  # the last result, or whoever takes them wants no more
        pool.shutdown(wait=False, cancel_futures=True)
        for process in set(multiprocessing.active_children()).difference(before):
            process.terminate()


def _begin(backend: str, function: Callable[[Any], Any]) -> None:
    """Prepare a process of `in_order`."""
    global _function
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the first process ends them
    os.environ["PORTANET_THREADS"] = "1"  # the jobs share the CPUs
    threadpoolctl.threadpool_limits(1)
    pn.set_backend(backend)
    _function = function


def _run(item: Any) -> tuple[Any, str]:
    """Return the function's result and what it printed."""
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        return _function(item), said.getvalue()


def guarded(program: str, run: Callable[[], int | None]) -> int:
    """Run a program and return its exit code: what a user can mend is one line."""
    try:
        return run() or 0
    except KeyboardInterrupt:
        return 130
    except (
        pn.BackendError,
        pn.CheckpointError,
        data.DataError,
        FloatingPointError,
        OSError,
    ) as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
