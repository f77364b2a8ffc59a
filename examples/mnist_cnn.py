#!/usr/bin/env python3
"""Train a small convolutional network on handwritten digits and show its accuracy.

The network: conv 5×5 (1→8), ReLU, max-pool 2×2, conv 5×5 (8→8), ReLU, max-pool 2×2, linear (10),
softmax cross-entropy. Runs on MNIST where it is found or can be downloaded, else on the digits that
portanet carries, enlarged to 28×28; on NumPy, CuPy or PyTorch arrays, by --backend.

An older study of this network, whose settings are --settings published, had to search for a start
from which it learned at all; --search does so, too (see mnist_search.py).
"""

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from common import (
    guarded,
    parsed,
    parser_of,
    positive_float,
    positive_int,
    select_backend,
    writable,
)
from mnist_search import add_options, check_options, search

import portanet as pn
from portanet import data, nn, optim

HELD_OUT = 1000  # the first images validate, or a tenth of them where there are few
FEWEST = 10  # images that can be trained on, validated and tested with
Arrays = tuple[Any, Any]  # images (N, 1, 28, 28) and their labels


class Settings(NamedTuple):
    """How a network is trained."""

    epochs: int
    batch_size: int
    lr: float
    optimizer: str = "adam"  # or "nesterov", both with the rate in one cycle; "sgd": always lr
    bound: float | None = None  # weights and biases start within ±bound; None: ±1/√fan_in
    images: int | None = None  # how many to train on; None: all
    raw: bool = False  # pixels from 0 to 255; else centered and scaled
    augment: bool = False  # rotate, scale and shift the images a little, anew each epoch


PUBLISHED = Settings(5, 1, 0.0001, optimizer="sgd", bound=0.01, images=20_000, raw=True)


class Digits(NamedTuple):
    """Images with pixels from 0 to 1, and the settings that suit them."""

    name: str
    train: Arrays
    test: Arrays
    settings: Settings


class Split(NamedTuple):
    """Images as the network takes them, and the value of a pixel without ink."""

    train: Arrays
    validation: Arrays
    test: Arrays
    blank: float


def network() -> nn.Sequential:
    return nn.Sequential(
        {
            "c1": nn.Conv2d(1, 8, 5),
            "relu1": nn.ReLU(),
            "pool1": nn.MaxPool2d(2),
            "c2": nn.Conv2d(8, 8, 5),
            "relu2": nn.ReLU(),
            "pool2": nn.MaxPool2d(2),
            "flatten": nn.Flatten(),
            "f": nn.Linear(128, 10),
        }
    )


def load(choice: str) -> Digits:
    """Load the data chosen; say in one line which it is."""
    if choice in ("auto", "mnist"):
        try:
            train, test = data.load_mnist()
            print("data: MNIST")
            return Digits("MNIST", train, test, Settings(epochs=5, batch_size=128, lr=0.01))
        except data.DataNotFoundError:
            if choice == "mnist":
                raise
            print("data: the embedded digits, enlarged to 28×28 (no MNIST; --data mnist says why)")
    if choice in ("auto", "digits"):
        train, test = data.load_digits(size=28)
        return Digits("digits", train, test, Settings(epochs=15, batch_size=32, lr=0.02))
    images, labels = data.load_npz(choice)
    low, high = labels.min(), labels.max()
    if images.shape[1:] != (1, 28, 28) or len(images) < FEWEST or low < 0 or high > 9:
        raise data.DataError(
            f"{choice}: expected at least {FEWEST} gray images (N, 28, 28) with labels 0 to 9, got "
            f"images (N, C, H, W) = {images.shape} with labels {low} to {high}"
        )
    # Shuffled, for it may be sorted by label; always alike, so that no seed trains on test images.
    order = pn.Key(0).permutation(len(images))
    images, labels = images[order], labels[order]
    n = held_out(images)
    print(f"data: {choice}, {len(images):,} images, shuffled; the first {n:,} test")
    train, test = (images[n:], labels[n:]), (images[:n], labels[:n])
    return Digits(Path(choice).name, train, test, Settings(epochs=5, batch_size=32, lr=0.01))


def held_out(images: Any) -> int:
    return min(HELD_OUT, max(1, len(images) // 10))


def settings_of(args: argparse.Namespace, digits: Digits) -> Settings:
    """Return the settings that were asked for; what was not is the study's or suits the data."""
    settings = PUBLISHED if args.settings == "published" else digits.settings
    if args.search and settings.bound is None:  # as much data as the study, and a bound to multiply
        settings = settings._replace(images=PUBLISHED.images, bound=0.1)
    if args.augment:  # images that are never twice the same can be learned from for longer
        settings = settings._replace(epochs=5 * settings.epochs)
    if args.quick:
        settings = settings._replace(epochs=2, images=2000)
    given = {n: v for n, v in vars(args).items() if n in Settings._fields and v is not None}
    return settings._replace(**given)


def split(digits: Digits, settings: Settings) -> Split:
    """Hold the first images out, and scale the pixels."""
    n = held_out(digits.train[0])
    end = None if settings.images is None else n + settings.images
    images, labels = digits.train[0][:end], digits.train[1][:end]
    # Centered and scaled by the training images: the first steps then go the right way at once.
    mean, std = float(images.mean()), float(images.std()) or 1.0
    if settings.raw:
        mean, std = 0.0, 1 / 255

    def scaled(x: Any) -> Any:
        return (x - mean) / std

    return Split(
        train=(scaled(images[n:]), labels[n:]),
        validation=(scaled(images[:n]), labels[:n]),
        test=(scaled(digits.test[0]), digits.test[1]),
        blank=-mean / std,
    )


def trained(
    images: Split, settings: Settings, seed: int, checkpoint: Path | None = None
) -> pn.Trainer:
    """Train a network and return its trainer: a fresh one, or what the folder holds of a run."""
    init = None if settings.bound is None else nn.Uniform(settings.bound)
    model = network().initialize(seed, weight=init, bias=init)
    schedule: optim.Schedule | None = optim.OneCycleLR(max_lr=settings.lr)
    if settings.optimizer == "adam":
        optimizer: optim.Optimizer = optim.Adam(model, lr=settings.lr)
    elif settings.optimizer == "nesterov":
        optimizer = optim.SGD(model, lr=settings.lr, momentum=0.9, nesterov=True)
    else:
        optimizer, schedule = optim.SGD(model, lr=settings.lr), None
    trainer = pn.Trainer(
        model,
        nn.CrossEntropyLoss(),
        optimizer,
        schedule=schedule,
        seed=seed,
        monitor="val_accuracy",
    )
    options: dict[str, Any] = {"epochs": settings.epochs, "validation_data": images.validation}
    if checkpoint is not None:
        options |= {"checkpoint": checkpoint, "resume": "auto"}
    if not settings.augment:
        trainer.fit(images.train, batch_size=settings.batch_size, **options)
        return trainer
    x, y = (pn.asarray(array) for array in images.train)
    move = data.RandomAffine(8, translate=(0.04, 0.04), scale=(0.92, 1.08), fill=images.blank)
    loader = data.DataLoader((x, y), settings.batch_size, shuffle=True, seed=seed, transform=move)
    trainer.fit(loader, **options)
    return trainer


def run(args: argparse.Namespace) -> int:
    """Train as the arguments say, show the accuracy on the test images, return the exit code."""
    select_backend(args.backend)
    digits = load(args.data)
    settings = settings_of(args, digits)
    shown = (f"{n} {v}" for n, v in settings._asdict().items() if v not in (None, False))
    print("settings:", ", ".join(shown))
    images = split(digits, settings)
    model: nn.Layer = network()
    code = 0
    if args.search:
        model.load_state_dict(search(args, partial(trained, images), settings, digits.name))
    else:
        print(model.summary((1, 28, 28)))
        trainer = trained(images, settings, args.seed, args.checkpoint)
        model, history = trainer.model, trainer.history
        if history.interrupted:  # by a signal: the code that a shell expects of it
            code = 128 + history.interrupted
        if args.plot and not len(history):
            print("no plot: no epoch was finished")
        elif args.plot:
            history.plot(args.plot)
            print(f"plot written to {args.plot}")
    tester = pn.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model))
    accuracy = tester.evaluate(images.test)["accuracy"]
    print(f"test accuracy {accuracy:.4f} on {len(images.test[0]):,} images of {digits.name}")
    if args.save:
        pn.save_weights(model, args.save)
        print(f"weights written to {args.save}")
    return code


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = parser_of(__doc__)
    option = parser.add_argument
    option(
        "--data",
        default="auto",
        help="auto, mnist, digits, or FILE.npz with images (N, 28, 28) and labels (N,), which are "
        f"shuffled; a tenth of them, at most {HELD_OUT}, test (default: auto)",
    )
    option(
        "--save",
        metavar="FILE.npz",
        type=writable(".npz", ".safetensors"),
        help="write the weights, c1.weight, …, f.bias: .npz or .safetensors",
    )
    option(
        "--checkpoint",
        metavar="FOLDER",
        type=Path,
        help="save the run there each epoch, and go on with it when started again",
    )
    option = parser.add_argument_group("how to train").add_argument
    option(
        "--settings",
        choices=("tuned", "published"),
        default="tuned",
        help="what is not given here, to suit the data or as in the study (default: tuned)",
    )
    option("--epochs", type=positive_int, help="passes over the training images")
    option("--batch-size", type=positive_int, help="images in a step")
    option("--lr", type=positive_float, help="learning rate, at the top of its cycle if it has one")
    option("--optimizer", choices=("adam", "nesterov", "sgd"), help="sgd has a constant rate")
    option("--bound", type=positive_float, help="of the weights at the start, else 1/√fan_in")
    option("--images", type=positive_int, help="how many to train on, else all")
    option("--augment", action="store_true", help="rotate, scale and shift the images a little")
    add_options(parser)
    args = parsed(parser, arguments)
    check_options(parser, args)
    if args.search and args.checkpoint:
        parser.error("--checkpoint keeps one run; a search is kept by --log")
    return args


def main(arguments: list[str] | None = None) -> int:
    args = parse(arguments)
    return guarded("mnist_cnn", lambda: run(args))


if __name__ == "__main__":
    sys.exit(main())
