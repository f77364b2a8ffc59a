#!/usr/bin/env python3
"""Read house numbers with one hidden layer, and compare SGD, momentum, Adam and dropout.

The network: flatten, linear 3072–512, leaky ReLU, linear 512–10, softmax cross-entropy, on the
32×32 color images of SVHN, or of CIFAR-10 by --data cifar10. Each variant starts from the same
weights; the epoch that validates best is kept. The weights of the best variant are saved, loaded
by name into a new network, and tested again. With --settings published the rates are those of the
study that this follows, and stay constant; by default they rise and fall in one cycle.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from common import (
    COLORS,
    STYLES,
    guarded,
    parsed,
    parser_of,
    positive_int,
    select_backend,
    writable,
)

import portanet as pn
from portanet import data, nn, optim

BATCH = 100
HELD_OUT = 3257  # the last images validate: of SVHN's 73,257 this leaves 70,000 to train on
QUICK = 2000  # images of the training and of the test data, with --quick
Split = tuple[Any, Any]


@dataclass(frozen=True)
class Variant:
    """One curve of the comparison."""

    optimizer: Callable[..., optim.Optimizer]
    lr: float
    dropout: float = 0.0  # probability of zero; the study's is that of keeping, 1 − p


momentum = partial(optim.SGD, momentum=0.9)
SETTINGS = {
    "tuned": {
        "sgd": Variant(optim.SGD, lr=0.05),
        "momentum": Variant(momentum, lr=0.005),
        "adam": Variant(optim.Adam, lr=0.0005),
        "dropout": Variant(momentum, lr=0.005, dropout=0.2),
    },
    "published": {
        "sgd": Variant(optim.SGD, lr=0.01),
        "momentum": Variant(momentum, lr=0.01),
        "adam": Variant(optim.Adam, lr=0.001),
        "dropout": Variant(optim.SGD, lr=0.01, dropout=0.5),
    },
}
EPOCHS = {"tuned": 5, "published": 30}


class Pictures(NamedTuple):
    """Images (N, 3, 32, 32), centered and scaled, with their labels."""

    name: str
    train: Split
    validation: Split
    test: Split


class Result(NamedTuple):
    """What a variant came to: its history, its best epoch, and the accuracy of that."""

    history: pn.History
    epoch: int  # counted from 1
    validation: float
    test: float
    model: nn.Sequential


def network(dropout: float = 0.0) -> nn.Sequential:
    """Return the network; dropout has no parameters, so the weights' names are always the same."""
    return nn.Sequential(
        {
            "flatten": nn.Flatten(),
            "hidden": nn.Linear(3072, 512),
            "relu": nn.LeakyReLU(0.01),
            "dropout": nn.Dropout(dropout),
            "scores": nn.Linear(512, 10),
        }
    )


def load(choice: str, quick: bool) -> Pictures:
    """Load the data chosen, split them and bring them to the backend."""
    try:
        train, test = data.load_svhn() if choice == "svhn" else data.load_cifar10()
    except (data.DataNotFoundError, ImportError) as error:
        hint = "; or take other images: --data cifar10" if choice == "svhn" else ""
        raise data.DataNotFoundError(f"{error}{hint}") from None
    if quick:
        train, test = (tuple(part[:QUICK] for part in split) for split in (train, test))
    images = train[0]
    mean = images.mean(axis=(0, 2, 3), keepdims=True)
    std = images.std(axis=(0, 2, 3), keepdims=True) + 1e-7
    held = min(HELD_OUT, max(1, len(images) // 10))

    def part(split: Split, chosen: slice) -> Split:
        return pn.asarray((split[0][chosen] - mean) / std), pn.asarray(split[1][chosen])

    pictures = Pictures(
        {"svhn": "SVHN", "cifar10": "CIFAR-10"}[choice],
        part(train, slice(-held)),
        part(train, slice(-held, None)),
        part(test, slice(None)),
    )
    sizes = [f"{labels.shape[0]:,}" for _, labels in pictures[1:]]
    print("data: {}; {} images train, {} validate, {} test".format(pictures.name, *sizes))
    return pictures


def train(variant: Variant, pictures: Pictures, args: argparse.Namespace) -> Result | None:
    """Train a variant; None where Ctrl-C ended its first epoch."""
    model = network(variant.dropout).initialize(args.seed, weight=nn.Normal(0.02), bias=0)
    if args.settings == "published":
        schedule: optim.Schedule = optim.StepLR(50, gamma=0.99)
    else:
        schedule = optim.OneCycleLR(max_lr=variant.lr, cycle_momentum=False)
    trainer = pn.Trainer(
        model,
        nn.CrossEntropyLoss(),
        variant.optimizer(model, lr=variant.lr),
        schedule=schedule,
        seed=args.seed,
        monitor="val_accuracy",
    )
    history = trainer.fit(
        pictures.train, epochs=args.epochs, batch_size=BATCH, validation_data=pictures.validation
    )
    if trainer.best is None:
        return None
    best = trainer.restore_best()
    return Result(history, best.epoch + 1, best.value, accuracy(model, pictures.test), model)


def accuracy(model: nn.Sequential, split: Split) -> float:
    """Return the share of images that the model gets right."""
    return pn.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model)).evaluate(split)["accuracy"]


def compare(args: argparse.Namespace) -> None:
    """Train all variants, show what they came to, save the best and test what was saved."""
    select_backend(args.backend)
    pictures = load(args.data, args.quick)
    variants = SETTINGS[args.settings]
    print(network().summary((3, 32, 32)))
    results: dict[str, Result] = {}
    interrupted = False
    for name in args.variants:
        print(f"\n{name}")
        result = train(variants[name], pictures, args)
        if result is not None:
            results[name] = result
        interrupted = result is None or result.history.interrupted
        if interrupted:
            break
    if results:
        print(f"\n{'variant':10}{'rate':>7}{'dropout':>9}{'epoch':>7}{'validation':>12}{'test':>8}")
    for name, (_, epoch, validation, test, _) in results.items():
        v = variants[name]
        print(f"{name:10}{v.lr:7g}{v.dropout:9g}{epoch:7}{validation:12.4f}{test:8.4f}")
    if results:
        best = max(results, key=lambda name: results[name].validation)
        pn.save_weights(results[best].model, args.save)
        again = network().initialize(args.seed + 1)  # other weights, until these are read
        pn.load_weights(again, args.save)
        print(f"the weights of {best}, written to {args.save} and read again by name:")
        print(f"test accuracy {accuracy(again, pictures.test):.4f} on {pictures.name}")
        if args.plot:
            draw(results, pictures.name, args)
    if interrupted:
        raise KeyboardInterrupt


def draw(results: dict[str, Result], images: str, args: argparse.Namespace) -> None:
    """Draw the training loss and the validation accuracy of all variants."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for (name, result), color, style in zip(results.items(), COLORS, STYLES, strict=False):
        history = result.history
        epochs = range(1, len(history) + 1)
        loss, validation = history["loss"], [100 * a for a in history["val_accuracy"]]
        left.plot(epochs, loss, style, color=color, label=f"{name}, test {result.test:.1%}")
        right.plot(epochs, validation, style, color=color)
        right.plot(result.epoch, validation[result.epoch - 1], "o", color=color)
    left.set(ylabel="training cross-entropy (nats)", title="loss, with dropout where there is one")
    right.set(ylabel="validation accuracy (%)", title="accuracy; a dot marks the epoch kept")
    for axes in (left, right):
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
    figure.suptitle(f"One hidden layer of 512 on {images}, {args.settings} settings")
    figure.legend(loc="outside lower center", ncols=4)
    figure.savefig(args.plot, dpi=100)
    print(f"plot written to {args.plot}")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = parser_of(__doc__)
    option = parser.add_argument
    option("--data", choices=("svhn", "cifar10"), default="svhn", help="(default: svhn)")
    option("--settings", choices=SETTINGS, default="tuned", help="(default: tuned)")
    names = list(SETTINGS["tuned"])
    option("--variants", nargs="+", choices=names, default=names, help="which (default: all)")
    option(
        "--epochs",
        type=positive_int,
        help="passes over the training images (default: 5; published: 30; quick: 2)",
    )
    option(
        "--save",
        metavar="FILE.npz",
        type=writable(".npz", ".safetensors"),
        default="svhn_mlp.npz",
        help="where the best weights are written: .npz or .safetensors (default: svhn_mlp.npz)",
    )
    args = parsed(parser, arguments)
    args.epochs = args.epochs or (2 if args.quick else EPOCHS[args.settings])
    return args


def main(arguments: list[str] | None = None) -> int:
    args = parse(arguments)
    return guarded("svhn_mlp", lambda: compare(args))


if __name__ == "__main__":
    sys.exit(main())
