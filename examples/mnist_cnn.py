#!/usr/bin/env python3
"""Train a small convolutional network on handwritten digits and show its accuracy.

The network: conv 5×5 (1→8), ReLU, max-pool 2×2, conv 5×5 (8→8), ReLU, max-pool 2×2, linear (10),
softmax cross-entropy. Runs on MNIST where it is found or can be downloaded, else on the digits that
portanet carries, enlarged to 28×28; on NumPy, CuPy or PyTorch arrays, by --backend.
"""

import argparse
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import portanet as pn
from portanet import data, nn, optim

HELD_OUT = 1000  # the first images validate, or a tenth of them where there are few
FEWEST = 10  # images that can be trained on, validated and tested with


class Digits(NamedTuple):
    """Images (N, 1, 28, 28) with their labels, and the settings that suit them."""

    name: str
    train: tuple[Any, Any]
    test: tuple[Any, Any]
    epochs: int
    batch_size: int
    lr: float


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
            return Digits("MNIST", train, test, epochs=5, batch_size=128, lr=0.01)
        except data.DataNotFoundError:
            if choice == "mnist":
                raise
            print("data: the embedded digits, enlarged to 28×28 (no MNIST; --data mnist says why)")
    if choice in ("auto", "digits"):
        train, test = data.load_digits(size=28)
        return Digits("digits", train, test, epochs=15, batch_size=32, lr=0.02)
    images, labels = data.load_npz(choice)
    low, high = labels.min(), labels.max()
    if images.shape[1:] != (1, 28, 28) or len(images) < FEWEST or low < 0 or high > 9:
        raise data.DataError(
            f"{choice}: expected at least {FEWEST} grey images (N, 28, 28) with labels 0 to 9, got "
            f"images (N, C, H, W) = {images.shape} with labels {low} to {high}"
        )
    # Shuffled, for it may be sorted by label; always alike, so that no seed trains on test images.
    order = pn.Key(0).permutation(len(images))
    images, labels = images[order], labels[order]
    n = held_out(images)
    print(f"data: {choice}, {len(images):,} images, shuffled; the first {n:,} test")
    train, test = (images[n:], labels[n:]), (images[:n], labels[:n])
    return Digits(Path(choice).name, train, test, epochs=5, batch_size=32, lr=0.01)


def held_out(images: Any) -> int:
    return min(HELD_OUT, max(1, len(images) // 10))


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


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    option = parser.add_argument
    option("--backend", help="auto, numpy, cupy, torch (default: PORTANET_BACKEND, else auto)")
    option(
        "--data",
        default="auto",
        help="auto, mnist, digits, or FILE.npz with images (N, 28, 28) and labels (N,), which are "
        f"shuffled; a tenth of them, at most {HELD_OUT}, test (default: auto)",
    )
    option("--epochs", type=positive_int, help="passes over the training images (default: by data)")
    option("--batch-size", type=positive_int, help="images in a step (default: by data)")
    option("--lr", type=positive_float, help="top learning rate of the cycle (default: by data)")
    option("--optimizer", choices=("adam", "sgd"), default="adam", help="(default: adam)")
    option("--seed", type=int, default=0, help="of weights and order (default: 0)")
    option(
        "--save",
        metavar="FILE.npz",
        type=writable(".npz", ".safetensors"),
        help="write the weights, c1.weight, …, f.bias: .npz or .safetensors",
    )
    option(
        "--plot",
        metavar="FILE.png",
        type=writable(".png", ".pdf", ".svg"),
        help="draw loss and accuracy by epoch: .png, .pdf or .svg",
    )
    args = parser.parse_args(arguments)
    if args.plot:
        try:
            import matplotlib.figure  # noqa: F401
        except ImportError as error:
            parser.error(f'--plot needs matplotlib ({error}): pip install "portanet[plot]"')
    return args


def train(args: argparse.Namespace) -> float:
    """Train as the arguments say and return the accuracy on the test images."""
    backend = pn.set_backend(args.backend or os.environ.get("PORTANET_BACKEND") or "auto")
    print(f"portanet {pn.__version__}, backend {backend}")
    digits = load(args.data)
    (images, labels), n = digits.train, held_out(digits.train[0])
    # Centred and scaled by the training images: the first steps then go the right way at once.
    mean, std = float(images.mean()), float(images.std()) or 1.0

    def scaled(x: Any) -> Any:
        return (x - mean) / std

    model = network().initialize(args.seed)
    print(model.summary((1, 28, 28)))
    lr = digits.lr if args.lr is None else args.lr
    if args.optimizer == "adam":
        optimizer: optim.Optimizer = optim.Adam(model, lr=lr)
    else:
        optimizer = optim.SGD(model, lr=lr, momentum=0.9, nesterov=True)
    trainer = pn.Trainer(
        model,
        nn.CrossEntropyLoss(),
        optimizer,
        schedule=optim.OneCycleLR(max_lr=lr),
        seed=args.seed,
    )
    history = trainer.fit(
        (scaled(images[n:]), labels[n:]),
        epochs=digits.epochs if args.epochs is None else args.epochs,
        batch_size=digits.batch_size if args.batch_size is None else args.batch_size,
        validation_data=(scaled(images[:n]), labels[:n]),
    )
    accuracy = trainer.evaluate((scaled(digits.test[0]), digits.test[1]))["accuracy"]
    print(f"test accuracy {accuracy:.4f} on {len(digits.test[0]):,} images of {digits.name}")
    if args.save:
        pn.save_weights(model, args.save)
        print(f"weights written to {args.save}")
    if args.plot and not len(history):
        print("no plot: no epoch was finished")
    elif args.plot:
        history.plot(args.plot)
        print(f"plot written to {args.plot}")
    if history.interrupted:
        raise KeyboardInterrupt
    return accuracy


def main(arguments: list[str] | None = None) -> int:
    try:
        train(parse(arguments))
    except KeyboardInterrupt:
        return 130
    except (pn.BackendError, data.DataError, OSError) as error:
        print(f"mnist_cnn: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
