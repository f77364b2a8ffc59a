#!/usr/bin/env python3
"""Recognize photographs with two layers, then search for settings that do it better.

The network: linear 3072–200, ReLU, linear 200–10, softmax cross-entropy, from He's initial weights,
on CIFAR-10's 32×32 color images, each standardized by its own mean and standard deviation. 2,000
iterations of 40 images; before each of them the loss and the accuracy on the batch are noted, and
on a batch of random test images. The study that this follows has a rate of 0.01 throughout
(--settings published); by default that falls along half a cosine. --search N tries N settings, as
examples/cifar10_search.py says; --model cnn trains a convolutional network instead.
"""

import argparse
import sys
from collections.abc import Iterator
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

BATCH, ITERATIONS = 40, 2000
HELD_OUT = 5000  # images that validate, where something is chosen by validation
QUICK = 2000  # images to train on, and to test, with --quick
CNN_EPOCHS = 8
SHOWN = 200  # iterations between two lines
SMOOTH = 50  # iterations that a running mean is of
Split = tuple[Any, Any]


def two_layers(hidden: int = 200, dropout: float = 0.0) -> nn.Sequential:
    return nn.Sequential(
        {
            "hidden": nn.Linear(3072, hidden),
            "relu": nn.ReLU(),
            "dropout": nn.Dropout(dropout),
            "scores": nn.Linear(hidden, 10),
        }
    )


def convolutional() -> nn.Sequential:
    """Return the convolutional variant.

    Batch normalization subtracts the mean, so no convolution has a bias; it comes after pooling,
    where there is a quarter as much to do.
    """
    layers: list[nn.Layer] = []
    for before, after in ((3, 32), (32, 64), (64, 128)):
        conv = nn.Conv2d(before, after, 3, padding="same", bias=False)
        layers += [conv, nn.MaxPool2d(2), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(128 * 4 * 4, 10))


def load(quick: bool) -> tuple[Split, Split]:
    """Return the training and the test data, each image standardized, (N, 3, 32, 32)."""
    train, test = data.load_cifar10()
    if quick:
        train, test = (tuple(part[:QUICK] for part in split) for split in (train, test))

    def standardized(images: Any) -> Any:
        images -= images.mean(axis=(1, 2, 3), keepdims=True)
        # An image may be of a single color. TensorFlow's bound, in per_image_standardization.
        images /= images.std(axis=(1, 2, 3), keepdims=True).clip(min=3072**-0.5)
        return pn.asarray(images)

    (x, y), (xt, yt) = train, test
    print(f"data: CIFAR-10; {len(x):,} images train, {len(xt):,} test")
    return (standardized(x), pn.asarray(y)), (standardized(xt), pn.asarray(yt))


def flat(split: Split) -> Split:
    """Return the data with the images as rows of 3,072 numbers."""
    x, y = split
    return pn.backend_of(x).xp.reshape(x, (x.shape[0], -1)), y


class Curves(NamedTuple):
    """The loss and accuracy before each iteration: on its batch, and on random test images."""

    batch: list[tuple[Any, Any]]
    test: list[tuple[Any, Any]]

    def recent(self) -> str:
        """Return the means since it was last asked for, in words."""
        words = []
        for name, curve in zip(("batch", "test batch"), self, strict=True):
            loss, share = (
                sum(map(float, numbers)) / SHOWN for numbers in zip(*curve[-SHOWN:], strict=True)
            )
            words.append(f"{name}: loss {loss:.3f}  accuracy {share:.3f}")
        return "   ".join(words)


def watched(
    model: nn.Layer, batches: data.DataLoader, others: data.DataLoader, curves: Curves
) -> Iterator[Split]:
    """Yield batches without end; before each, note how the model does on it and on another one.

    The Trainer asks for a batch when it is about to train on it, so the model is as it is then.
    The numbers stay where they are computed: a GPU is not waited for.
    """
    loss = nn.CrossEntropyLoss()
    for batch, other in zip(endless(batches), endless(others), strict=True):
        for (x, y), curve in zip((batch, other), curves, strict=True):
            scores = model(x)
            curve.append((loss(scores, y), accuracy(scores, y)))
        if len(curves.batch) % SHOWN == 0:
            print(f"iteration {len(curves.batch):5}  {curves.recent()}", flush=True)
        yield batch


def endless(batches: data.DataLoader) -> Iterator[Split]:
    while True:
        yield from batches  # each time in another order


def accuracy(scores: Any, labels: Any) -> Any:
    return pn.backend_of(scores).xp.mean(pn.train.accuracy(scores, labels))


def train_two_layers(args: argparse.Namespace) -> None:
    """Train as the study did, note and draw its curves."""
    (x, y), test = map(flat, load(args.quick))
    model = two_layers().initialize(args.seed, weight=nn.HeNormal(), bias=0)
    iterations = ITERATIONS // 10 if args.quick else ITERATIONS
    falling = optim.CosineAnnealingLR(T_max=iterations, by="step")
    trainer = pn.Trainer(
        model,
        nn.CrossEntropyLoss(),
        optim.SGD(model, lr=0.01, momentum=args.momentum),
        schedule=None if args.settings == "published" else falling,
    )
    print(model.summary((3072,)))
    print(f"untrained: test accuracy {trainer.evaluate(test)['accuracy']:.4f}")
    curves = Curves([], [])
    batches = data.DataLoader((x, y), BATCH, shuffle=True, seed=args.seed)
    others = data.DataLoader(test, BATCH, replacement=True, seed=args.seed + 1)
    trainer.fit(watched(model, batches, others, curves), steps=iterations, progress=False)
    found = finished(trainer, test, args)
    if args.plot:
        draw_curves(curves, found, args)
    if trainer.history.interrupted:
        raise KeyboardInterrupt


def train_convolutional(args: argparse.Namespace) -> None:
    """Train the convolutional variant on images that are mirrored and shifted at random."""
    (x, y), test = load(args.quick)
    model = convolutional().initialize(args.seed)
    held = min(HELD_OUT, x.shape[0] // 10)
    augmentation = data.Compose([data.RandomHorizontalFlip(), data.RandomCrop(32, padding=2)])
    batches = data.DataLoader(
        (x[held:, ...], y[held:]), 128, shuffle=True, seed=args.seed, transform=augmentation
    )
    trainer = pn.Trainer(
        model,
        nn.CrossEntropyLoss(),
        optim.SGD(model, lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4),
        schedule=optim.OneCycleLR(max_lr=0.1),
    )
    print(model.summary((3, 32, 32)))
    epochs = 1 if args.quick else CNN_EPOCHS
    history = trainer.fit(batches, epochs=epochs, validation_data=(x[:held, ...], y[:held]))
    finished(trainer, test, args)
    if args.plot and len(history):
        history.plot(args.plot)
        print(f"plot written to {args.plot}")
    if history.interrupted:
        raise KeyboardInterrupt


def finished(trainer: pn.Trainer, test: Split, args: argparse.Namespace) -> float:
    """Return the accuracy on the test images; save the weights where that was asked for."""
    found = trainer.evaluate(test)["accuracy"]
    images = test[1].shape[0]
    print(f"test accuracy {found:.4f} on {images:,} images after {trainer.step:,} iterations")
    if args.save:
        pn.save_weights(trainer.model, args.save)
        print(f"weights written to {args.save}")
    return found


def draw_curves(curves: Curves, found: float, args: argparse.Namespace) -> None:
    """Draw loss and accuracy of each iteration, and their running means."""
    import numpy as np
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 4.2), layout="constrained")
    for k, (axes, quantity) in enumerate(
        zip(figure.subplots(1, 2), ("cross-entropy (nats)", "accuracy (%)"), strict=True)
    ):
        names = ("training batch", "random test batch")
        for name, curve, color, style in zip(names, curves, COLORS, STYLES, strict=False):
            values = np.array([float(pair[k]) for pair in curve]) * (1, 100)[k]
            width = min(SMOOTH, len(values))
            means = np.convolve(values, np.ones(width) / width, mode="valid")
            axes.plot(values, color=color, alpha=0.15, linewidth=0.5)
            label = f"{name}, mean of {width} iterations"
            axes.plot(np.arange(len(means)) + width // 2, means, style, color=color, label=label)
        axes.set(xlabel=f"iterations, of {BATCH} images each", ylabel=quantity)
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylim(1, 3)  # the first losses would flatten the others
    rate = "0.01" if args.settings == "published" else "0.01 falling to 0"
    figure.suptitle(
        f"Two layers on CIFAR-10: momentum {args.momentum:g}, rate {rate}; "
        f"{found:.1%} of the test images in the end"
    )
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    figure.savefig(args.plot, dpi=100)
    print(f"plot written to {args.plot}")


def share(text: str) -> float:
    if not 0 <= (number := float(text)) < 1:
        raise ValueError
    return number


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = parser_of(__doc__)
    option = parser.add_argument
    option(
        "--model", choices=("two-layer", "cnn"), default="two-layer", help="(default: two-layer)"
    )
    option("--settings", choices=("tuned", "published"), default="tuned", help="(default: tuned)")
    option("--momentum", type=share, default=0.9, help="0 is plain SGD (default: 0.9)")
    option("--search", metavar="N", type=positive_int, help="try N settings; the first is tuned")
    option(
        "--study",
        metavar="FILE.db",
        type=writable(".db"),
        default="cifar10_search.db",
        help="where the search is kept, and continued: SQLite; its table and best weights lie "
        "beside it, .csv and .npz (default: cifar10_search.db)",
    )
    option(
        "--save",
        metavar="FILE.npz",
        type=writable(".npz", ".safetensors"),
        help="write the weights: .npz or .safetensors",
    )
    args = parsed(parser, arguments)
    if args.search and (args.model == "cnn" or args.save):
        parser.error("--search searches for two layers, and writes their weights beside --study")
    if args.search:
        try:
            import optuna  # noqa: F401
        except ImportError as error:
            parser.error(f"--search needs Optuna ({error}): pip install optuna")
    return args


def run(args: argparse.Namespace) -> None:
    select_backend(args.backend)
    if args.search:
        from cifar10_search import search

        train, test = map(flat, load(args.quick))
        search(two_layers, train, test, args)
    elif args.model == "cnn":
        train_convolutional(args)
    else:
        train_two_layers(args)


def main(arguments: list[str] | None = None) -> int:
    args = parse(arguments)
    return guarded("cifar10_two_layer", lambda: run(args))


if __name__ == "__main__":
    sys.exit(main())
