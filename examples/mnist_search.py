"""The search of mnist_cnn.py: it trains again and again, until a network is good enough.

Each attempt has fresh weights, drawn from wider bounds, and a larger rate than the one before. The
attempts can be kept in a log, so that a search that was ended goes on where it was.
"""

import argparse
import json
import os
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from common import STYLES, in_order, positive_float, positive_int, writable

import portanet as pn
from portanet import data

QUICK_ATTEMPTS = 3
SHOWN = 10  # attempts in the plot, at most: more could not be told apart
MARKERS = "os^Dv"
TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995, 0.999)
LOWEST, *_, HIGHEST = TICKS
Train = Callable[[Any, int], pn.Trainer]  # from settings, which have a bound and lr, and a seed


class Attempt(NamedTuple):
    """A trained network: where it started, and its accuracy and time by epoch."""

    number: int  # from 1
    bound: float
    lr: float
    accuracy: list[float]  # on the validation images
    seconds: list[float]
    weights: Mapping[str, Any] = {}  # after the best epoch; a log is without them

    @property
    def best(self) -> float:
        """The highest accuracy."""
        return max(self.accuracy, default=0.0)


def attempt(train: Train, settings: Any, factor: float, seed: int, number: int) -> Attempt:
    """Train with bound and rate multiplied by the factor once for each attempt before."""
    growth = factor ** (number - 1)
    bound, lr = settings.bound * growth, settings.lr * growth
    print(f"attempt {number}: bound {bound:.4g}, lr {lr:.4g}", flush=True)
    own_seed = int(pn.Key(seed).child("attempt", number).bits(1)[0])
    try:
        trainer = train(settings._replace(bound=bound, lr=lr), own_seed)
    except FloatingPointError as error:
        print(f"given up in {error}")
        return Attempt(number, bound, lr, [], [])
    history, to_numpy = trainer.history, trainer.model.backend.to_numpy
    if history.interrupted:
        raise KeyboardInterrupt
    trainer.restore_best()
    weights = {name: to_numpy(array) for name, array in trainer.model.state_dict().items()}
    return Attempt(number, bound, lr, history["val_accuracy"], history["seconds"], weights)


def search(args: argparse.Namespace, train: Train, settings: Any, images: str) -> Mapping[str, Any]:
    """Return the weights of the best attempt, by name.

    The search ends with the first attempt that reaches the target on the validation images; they
    count in their order, so it is the same one for any number of jobs.
    """
    run = partial(attempt, train, settings, args.factor, args.seed)
    about = {"data": images, "factor": args.factor, "seed": args.seed, **settings._asdict()}
    attempts = resumed(args.log, about) if args.log else []
    most = min(args.max_attempts, QUICK_ATTEMPTS) if args.quick else args.max_attempts
    left = range(len(attempts) + 1, most + 1)
    try:
        with closing(in_order(run, left, args.jobs)) as results:
            while all(a.best < args.target for a in attempts) and (done := next(results, None)):
                attempts.append(done)
                if args.log:
                    append(args.log, {n: v for n, v in done._asdict().items() if n != "weights"})
    finally:  # also where Ctrl-C ends it
        if attempts:
            report(attempts, args.target, args.plot)
    best = best_of(attempts)
    if not best.accuracy:
        raise FloatingPointError("no attempt learned anything: try a smaller --bound or --lr")
    if not best.weights:
        print("once more, for its weights: ", end="")
        best = run(best.number)
    return best.weights


def best_of(attempts: list[Attempt]) -> Attempt:
    return max(attempts, key=lambda a: a.best)


def report(attempts: list[Attempt], target: float, path: Path | None) -> None:
    """Say which attempt is the best, and draw the accuracies."""
    best = best_of(attempts)
    reached = "reaches" if best.best >= target else "does not reach"
    print(
        f"best of {len(attempts)}: attempt {best.number}, validation accuracy {best.best:.4f}, "
        f"which {reached} the target of {target:g}"
    )
    if path:
        draw(path, attempts, target)
        print(f"plot written to {path}")


def sampled(attempts: list[Attempt]) -> list[Attempt]:
    """Return ten attempts at about equal distances, the first and the last among them."""
    shown = min(SHOWN, len(attempts))
    return [attempts[k * (len(attempts) - 1) // max(1, shown - 1)] for k in range(shown)]


def draw(path: Path, attempts: list[Attempt], target: float) -> None:
    """Draw the accuracy of sampled attempts by epoch."""
    import matplotlib
    from matplotlib.figure import Figure

    shown = sampled(attempts)
    figure = Figure(figsize=(7.2, 4), layout="constrained")
    axes = figure.subplots()
    # From dark to light in their order, which the color-blind see as well.
    colors = matplotlib.colormaps["viridis"].resampled(len(shown) + 1)
    for k, a in enumerate(shown):
        epochs = range(1, len(a.accuracy) + 1)
        accuracy = [min(max(value, LOWEST), HIGHEST) for value in a.accuracy]
        label = f"{a.number}: {a.bound:.3g}, {a.lr:.3g}"
        style = STYLES[k % len(STYLES)] + MARKERS[k % len(MARKERS)]
        axes.plot(epochs, accuracy, style, color=colors(k), label=label)
    axes.axhline(min(target, HIGHEST), color="0.4", linewidth=1, label=f"target {target:g}")
    axes.set_yscale("logit")  # which has neither 0 nor 1; 0.95 is as far from 0.9 as 0.9 from 0.8
    low, high = axes.get_ylim()
    ticks = [tick for tick in TICKS if low <= tick <= high]
    axes.set_yticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set(
        xlabel="epoch",
        ylabel="accuracy on the validation images",
        title=f"Validation accuracy by epoch, {len(shown)} of {len(attempts)} attempts",
    )
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", title="attempt: bound, rate", frameon=False)
    figure.savefig(path, dpi=100)


# The log is a file of JSON lines: what is searched, then an attempt a line.


def resumed(log: Path, about: dict[str, Any]) -> list[Attempt]:
    """Return the attempts of a log, or begin it."""
    log.touch()
    # The last line has no end where the machine went down while it was written.
    *lines, torn = log.read_bytes().split(b"\n")
    if not lines and json.dumps(about).encode().startswith(torn):
        os.truncate(log, 0)
        append(log, about)
        return []
    try:
        there, *entries = map(json.loads, lines)
        attempts = [Attempt(**entry) for entry in entries]
        if not isinstance(there, dict) or [a.number for a in attempts] != [*range(1, len(lines))]:
            raise ValueError
    except (TypeError, ValueError):
        raise data.DataError(f"{log}: not a log of this program, or damaged") from None
    others = [f"{n} {there.get(n)} instead of {v}" for n, v in about.items() if there.get(n) != v]
    if others:
        raise data.DataError(f"{log} is the log of another search, with {', '.join(others)}")
    os.truncate(log, log.stat().st_size - len(torn))
    print(f"{len(attempts)} attempts read from {log}")
    return attempts


def append(log: Path, entry: dict[str, Any]) -> None:
    with log.open("ab") as file:  # bytes: the same lines on every system
        file.write(json.dumps(entry).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


# The options.


def share(text: str) -> float:
    if not 0 < (number := float(text)) <= 1:
        raise ValueError
    return number


def add_options(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument_group("to search").add_argument
    option("--search", action="store_true", help="train again and again, until --target is reached")
    option("--target", type=share, default=0.93, help="validation accuracy (default: 0.93)")
    option(
        "--factor",
        type=positive_float,
        default=1.0005,
        help="bound and lr are multiplied by it for each attempt (default: 1.0005)",
    )
    option("--max-attempts", type=positive_int, default=100, help="(default: 100; 3 with --quick)")
    option("--jobs", type=positive_int, default=1, help="attempts at once (default: 1)")
    option(
        "--log",
        metavar="FILE.jsonl",
        type=writable(".jsonl"),
        help="keep the attempts there, and go on after those that are there",
    )


def check_options(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    for name in ("target", "factor", "max_attempts", "jobs", "log"):
        if not args.search and getattr(args, name) != parser.get_default(name):
            parser.error(f"argument --{name.replace('_', '-')}: goes with --search")
