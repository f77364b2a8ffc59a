#!/usr/bin/env python3
"""Compare optimizers and regularizers on MNIST: one table and one plot.

The network is 784–100–30–10 on pixels in [0, 1], with weights from N(0, √(6 / (fan_in + fan_out))),
which is a standard deviation, and batches of 100. All variants start from the same weights and see
the same batches. The figures to compare with are an older study's, whose own settings are one flag
away: --settings published. By default each variant has a rate of its own, tuned for 20 epochs,
which falls to 0 along half a cosine (lr 0.5→0), and SiLU, which serves all of them.

An accuracy is the best over the epochs, on the test images, because that is what the study reports.
It flatters: to learn how good a network is, choose the epoch by images held out of the training
ones. A lead of 0.001 is ten images; another --seed moves as many.
"""

import argparse
import math
import sys
from contextlib import closing, suppress
from functools import cache, partial
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from common import (
    COLORS,
    STYLES,
    guarded,
    in_order,
    parsed,
    parser_of,
    positive_int,
    select_backend,
)
from mnist_variants import FAMILIES, STUDY, VARIANTS, Variant, as_published
from threadpoolctl import threadpool_limits

import portanet as pn
from portanet import data, nn, optim
from portanet.cpus import usable_cpus

BATCH = 100
EPOCHS, QUICK_EPOCHS = 20, 2
QUICK_IMAGES = 2000  # of the training images, and of the test images
# Rotations by up to 10°, shifts by up to 2 pixels: more would make some digits into others.
AUGMENTATION = data.RandomAffine(degrees=10, translate=(0.07, 0.07))


class Outcome(NamedTuple):
    """What came of a variant: its accuracies on the test images by epoch, and the time it took."""

    accuracies: list[float]
    seconds: float

    @property
    def best(self) -> float:
        """The largest accuracy."""
        return max(self.accuracies, default=0.0)

    def words(self) -> str:
        """Return what the table says of it."""
        epoch = self.accuracies.index(self.best) + 1 if self.accuracies else 0
        return f"{self.best:.4f}  {epoch:5}  {self.seconds:7.1f}"


@cache
def digits(quick: bool) -> tuple[Any, Any]:
    """Return MNIST to train and to test on, or a little of it."""
    (x, y), (test_x, test_y) = data.load_mnist()
    n = QUICK_IMAGES if quick else None
    return (x[:n], y[:n]), (test_x[:n], test_y[:n])


def vectors(images: Any, *_: Any) -> Any:
    """Return images as rows of pixels; a loader's transform, too, which passes more arguments."""
    return pn.backend_of(images).xp.reshape(images, (images.shape[0], -1))


def train(variant: Variant, seed: int, epochs: int, quick: bool) -> Outcome:
    """Train a variant: what a job does."""
    (x, y), (test_x, test_y) = digits(quick)
    # The log-loss of a one-hot target is the term of its 1, so labels give the same: the study has
    # one-hot targets throughout, here only squared errors have.
    if variant.mse:
        y, test_y = np.eye(10)[y], np.eye(10)[test_y]
    x, y = pn.asarray(x), pn.asarray(y)
    batches = data.DataLoader(
        (x if variant.augmented else vectors(x), y),
        BATCH,
        shuffle=True,
        seed=seed,
        transform=data.Compose([AUGMENTATION, vectors]) if variant.augmented else None,
    )
    # GlorotNormal's deviation is gain · √(2 / (fan_in + fan_out)).
    model = variant.network().initialize(seed, weight=nn.GlorotNormal(math.sqrt(3)), bias=0.0)
    trainer = pn.Trainer(
        model,
        nn.MSELoss() if variant.mse else nn.CrossEntropyLoss(),
        variant.optimizer(model, **variant.options),
        schedule=optim.CosineAnnealingLR(epochs) if variant.falling else None,
        metrics=["accuracy"],
        seed=seed,
    )
    started = perf_counter()
    test = (vectors(test_x), test_y)
    with (
        threadpool_limits(1),  # with more threads, sums are rounded otherwise
        suppress(FloatingPointError),  # it has diverged: the epochs before that count
    ):
        trainer.fit(batches, epochs=epochs, validation_data=test, progress=False)
    if trainer.history.interrupted:
        raise KeyboardInterrupt
    accuracies = trainer.history.epochs.get("val_accuracy", [])
    return Outcome(accuracies, perf_counter() - started)


def compare(args: argparse.Namespace) -> None:
    """Train the variants that were asked for, print each as it is done, and plot them."""
    select_backend(args.backend)
    sizes = [len(labels) for _, labels in digits(args.quick)]  # downloaded once, for all jobs
    digits.cache_clear()  # each job has its own
    print(f"MNIST: {sizes[0]:,} images to train on, {sizes[1]:,} to test on; {args.epochs} epochs")
    width = max(len(variant.settings()) for variant in args.only)
    print(f"{'variant':11}  {'settings':{width}}    best  epoch  seconds  published (epochs)")
    job = partial(train, seed=args.seed, epochs=args.epochs, quick=args.quick)
    outcomes: dict[str, Outcome] = {}
    try:
        with closing(in_order(job, args.only, args.jobs)) as done:
            for variant, outcome in zip(args.only, done, strict=True):
                outcomes[variant.name] = outcome
                line = f"{variant.name:11}  {variant.settings():{width}}  {outcome.words()}"
                if study := STUDY.get(variant.name):
                    line += f"  {study.best:.4f} ({study.epochs})"
                print(line + "  diverged" * (len(outcome.accuracies) < args.epochs), flush=True)
    finally:
        if args.plot and outcomes:  # of an interrupted run, what is done
            draw(args.plot, outcomes)
            print(f"plot written to {args.plot}")
    rivals = STUDY.keys() & outcomes
    reached = sum(outcomes[name].best >= STUDY[name].best for name in rivals)
    if rivals and not args.quick:
        print(f"{reached} of {len(rivals)} reach the published accuracy")


def draw(path: Path, outcomes: dict[str, Outcome]) -> None:
    """Draw the test errors by epoch: a panel for each family, the first variant in all of them."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, MaxNLocator, NullFormatter

    families = {
        title: shown
        for title, family in FAMILIES.items()
        if (shown := [variant.name for variant in family if variant.name in outcomes])
    }
    first, *_ = outcomes
    columns = min(3, len(families))
    rows = math.ceil(len(families) / columns)
    figure = Figure(figsize=(3.6 * columns, 3.7 * rows + 0.4), layout="constrained")
    figure.suptitle("MNIST: error on the test images by epoch, and the lowest of each variant")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat
    for (title, names), axes in zip(families.items(), panels, strict=False):
        if first not in names:
            curve(axes, outcomes[first], color="0.7", linewidth=3, label=first)
        for name, color, style in zip(names, COLORS, STYLES * 2, strict=False):
            label = f"{name} {1 - outcomes[name].best:.2%}"
            curve(axes, outcomes[name], color=color, linestyle=style, label=label)
        axes.set(title=title, xlabel="epoch", ylabel="test error [%]", yscale="log")
        axes.yaxis.set_major_locator(FixedLocator((0.5, 1, 2, 3, 5, 10, 20, 50)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=(1, 2, 5, 10)))
        axes.tick_params(labelbottom=True, labelleft=True)
        axes.legend(
            loc="upper center",
            bbox_to_anchor=(0.5, -0.18),
            ncols=2,
            frameon=False,
            fontsize="small",
            columnspacing=1.0,
        )
    for axes in panels:  # what is left of the last row
        axes.set_axis_off()
    figure.savefig(path)


def curve(axes: Any, outcome: Outcome, **style: Any) -> None:
    errors = [100 * (1 - accuracy) for accuracy in outcome.accuracies]
    axes.plot(range(1, len(errors) + 1), errors, **style)


def variants(text: str) -> list[Variant]:
    """Return the variants of these names, separated by commas, in the table's order."""
    names = [name.strip() for name in text.split(",")]
    if unknown := [name for name in names if name not in VARIANTS]:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not among {', '.join(VARIANTS)}")
    return [variant for name, variant in VARIANTS.items() if name in names]


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = parser_of(__doc__)
    option = parser.add_argument
    option("--only", metavar="NAME,…", type=variants, help=f"some of {', '.join(VARIANTS)}")
    option(
        "--settings",
        choices=("tuned", "published"),
        default="tuned",
        help="this program's, or the study's, which has none of "
        f"{', '.join(name for name in VARIANTS if name not in STUDY)} (default: tuned)",
    )
    option("--epochs", type=positive_int, help=f"(default: {EPOCHS}; the study shows up to 70)")
    cpus = usable_cpus()
    option("--jobs", type=positive_int, default=cpus, help=f"trained at once (default: {cpus})")
    args = parsed(parser, arguments)
    args.epochs = args.epochs or (QUICK_EPOCHS if args.quick else EPOCHS)
    args.only = args.only or list(VARIANTS.values())
    if args.settings == "published":
        args.only = [as_published(variant) for variant in args.only if variant.name in STUDY]
        if not args.only:
            parser.error("argument --only: the study has no settings of these")
    return args


def main(arguments: list[str] | None = None) -> int:
    args = parse(arguments)
    return guarded("mnist_optimizers", lambda: compare(args))


if __name__ == "__main__":
    sys.exit(main())
