# ruff: noqa: E501 (a table: a line for each bad call)
"""Bad arguments of loaders, transforms and data sets. Damaged files are in tests/data."""

import numpy as np

import portanet as pn
from portanet.data import (
    ColorJitter,
    Compose,
    Cutout,
    DataError,
    DataLoader,
    DataNotFoundError,
    RandomAffine,
    RandomCrop,
    RandomHorizontalFlip,
    RandomRotation,
    Transform,
    load_cifar10,
    load_digits,
    load_fashion_mnist,
    load_mnist,
    load_npz,
)

INF, NAN = float("inf"), float("nan")
KEY = pn.Key(0)
X, Y = np.ones((10, 3, 6, 7), "f4"), np.arange(10)


class NoApply(Transform):
    draws = 1


# fmt: off
LINES = [
    # --- loaders ---
    ("data.DataLoader", lambda: DataLoader((X, Y[:9])), ValueError, "the arrays must have equal lengths, got [10, 9]"),
    ("data.DataLoader", lambda: DataLoader((X[:0], Y[:0])), ValueError, "there are no samples: the arrays have lengths [0, 0]"),
    ("data.DataLoader", lambda: DataLoader(()), ValueError, "there are no samples"),
    ("data.DataLoader", lambda: DataLoader(np.float32(3.0)), ValueError, "there are no samples: the arrays have lengths [0]"),
    ("data.DataLoader", lambda: DataLoader(([1, 2], [3, 4])), TypeError, "expected an array of one of"),
    ("data.DataLoader", lambda: DataLoader([X, Y]), TypeError, "data must be an array or a tuple of arrays, got a list"),
    ("data.DataLoader", lambda: DataLoader("mnist"), TypeError, "expected an array of one of"),
    ("data.DataLoader", lambda: DataLoader(X, 0), ValueError, "batch_size must be at least 1, got 0"),
    ("data.DataLoader", lambda: DataLoader(X, -4), ValueError, "batch_size must be at least 1, got -4"),
    ("data.DataLoader", lambda: DataLoader(X, 2.5), TypeError, "batch_size must be an int, got 2.5"),
    ("data.DataLoader", lambda: DataLoader(X, 11, drop_last=True), ValueError, "drop_last leaves no batch: 10 samples, batch_size 11"),
    ("data.DataLoader", lambda: DataLoader(X, shuffle="no"), TypeError, "shuffle must be True or False, got 'no'"),
    ("data.DataLoader", lambda: DataLoader(X, 4, True, None), TypeError, "drop_last must be True or False, got None"),
    ("data.DataLoader", lambda: DataLoader(X, replacement=1), TypeError, "replacement must be True or False, got 1"),
    ("data.DataLoader", lambda: DataLoader(X, seed=0.5), TypeError, "a seed must be an integer, got 0.5"),
    ("data.DataLoader", lambda: DataLoader(X, num_workers=2), TypeError, "DataLoader has no option 'num_workers'"),
    ("data.DataLoader", lambda: DataLoader(X, transform=[Cutout(1)]), TypeError, "transform must be a function transform(x, key, first), such as a Compose, got [Cutout"),
    ("data.DataLoader.batches", lambda: list(DataLoader(X, shuffle=True).batches(-1)), ValueError, "epoch must be at least 0, got -1"),
    ("data.DataLoader.batches", lambda: list(DataLoader(X).batches("first")), TypeError, "epoch must be an int, got 'first'"),
    ("data.DataLoader.gather", lambda: DataLoader(X).gather(3), TypeError, "indices must be integers (n,), got 3"),
    ("data.DataLoader.transformed", lambda: DataLoader(X, transform=Cutout(2)).transformed((X,), first=-1), ValueError, "first must be at least 0, got -1"),
    # --- transforms ---
    ("data.Transform", lambda: Transform(1), TypeError, "Transform takes no arguments, got 1"),
    ("data.Transform.__call__", lambda: Cutout(2)(X[:, 0], KEY), ValueError, "Cutout: expected images of shape (N, C, H, W), got (10, 6, 7)"),
    ("data.Transform.__call__", lambda: Cutout(2)([[1.0]], KEY), TypeError, "expected an array of one of"),
    ("data.Transform.__call__", lambda: Cutout(2)(X.astype("u1"), KEY), TypeError, "Cutout: expected floating-point images, got uint8; portanet.asarray(x, dtype='float32') / 255 makes them"),
    ("data.Transform.__call__", lambda: Cutout(2)(X, 3), TypeError, "key must be a Key, got 3"),
    ("data.Transform.__call__", lambda: Cutout(2)(X, KEY, -1), ValueError, "first must be at least 0, got -1"),
    ("data.Transform.apply", lambda: NoApply()(X, KEY), NotImplementedError, "NoApply does not define apply"),
    ("data.Compose", lambda: Compose([3]), TypeError, "Compose: expected a function transform(x, key, first), such as a Compose, got 3"),
    ("data.Compose", lambda: Compose(Cutout(2)), TypeError, "transforms must be a list, got Cutout("),
    ("data.Compose.__call__", lambda: Compose([Cutout(2)])(X, 0), TypeError, "key must be a Key, got 0"),
    ("data.Compose.__call__", lambda: Compose([])(X, 0), TypeError, "key must be a Key, got 0"),
    ("data.ColorJitter", lambda: ColorJitter((-1, 1)), ValueError, "brightness must be in [0, inf], got -1"),
    ("data.ColorJitter", lambda: ColorJitter(0, -0.1), ValueError, "contrast must be in [0, inf], got -0.1"),
    ("data.ColorJitter", lambda: ColorJitter(NAN), ValueError, "brightness must be in [0, inf], got nan"),
    ("data.ColorJitter", lambda: ColorJitter(0.1)(X[:, :2], KEY), ValueError, "ColorJitter: expected images of 1 or 3 channels, got (10, 2, 6, 7)"),
    ("data.RandomCrop", lambda: RandomCrop(0), ValueError, "size must be at least 1, got 0"),
    ("data.RandomCrop", lambda: RandomCrop(3, (1, 1)), TypeError, "padding must be an int, got (1, 1)"),
    ("data.RandomCrop", lambda: RandomCrop(3, fill=INF), ValueError, "fill must be finite, got inf"),
    ("data.RandomCrop", lambda: RandomCrop((8, 10), padding=1)(X, KEY), ValueError, "RandomCrop: a piece of (8, 10) is larger than images of (8, 9), with padding 1"),
    ("data.RandomHorizontalFlip", lambda: RandomHorizontalFlip(1.5), ValueError, "p must be in [0, 1], got 1.5"),
    ("data.RandomRotation", lambda: RandomRotation(NAN), ValueError, "degrees must be in [0, inf], got nan"),
    ("data.RandomRotation", lambda: RandomRotation(INF), ValueError, "degrees must be finite, got inf"),
    ("data.RandomRotation", lambda: RandomRotation(degree=9), TypeError, "RandomRotation has no option 'degree'; did you mean 'degrees'"),
    ("data.RandomAffine", lambda: RandomAffine((9, -9)), ValueError, "degrees must give a range from a low to a high number, got (9, -9)"),
    ("data.RandomAffine", lambda: RandomAffine((1, 2, 3)), TypeError, "degrees must be a pair of numbers, got (1, 2, 3)"),
    ("data.RandomAffine", lambda: RandomAffine(0, (0, 1.1)), ValueError, "translate must be in [0, 1], got 1.1"),
    ("data.RandomAffine", lambda: RandomAffine(0, 0.1), TypeError, "translate must be a pair of numbers, got 0.1"),
    ("data.RandomAffine", lambda: RandomAffine(0, scale=0.9), TypeError, "scale must be a pair of numbers, got 0.9"),
    ("data.RandomAffine", lambda: RandomAffine(0, scale=(0, 1)), ValueError, "scale must be above 0, got (0, 1)"),
    ("data.Cutout", lambda: Cutout((1, 2, 3)), ValueError, "size must be an int or a pair of ints, got (1, 2, 3)"),
    ("data.Cutout", lambda: Cutout(1, fill=None), TypeError, "fill must be a number, got None"),
    ("data.Cutout", lambda: Cutout(1, fill=-INF), ValueError, "fill must be finite, got -inf"),
    # --- data sets ---
    ("data.load_digits", lambda: load_digits(size=32), ValueError, "load_digits: size must be 8 or 28, got 32"),
    ("data.load_digits", lambda: load_digits(size="8"), ValueError, "load_digits: size must be 8 or 28, got '8'"),
    ("data.load_mnist", lambda: load_mnist("no such folder"), DataNotFoundError, "there is no folder no such folder"),
    ("data.load_fashion_mnist", lambda: load_fashion_mnist(__file__, download=False), DataNotFoundError, "there is no folder"),
    ("data.load_cifar10", lambda: load_cifar10("no such folder"), DataNotFoundError, "there is no folder no such folder"),
    ("data.load_npz", lambda: load_npz("no such file.npz"), DataNotFoundError, "no such file.npz: no such file"),
    ("data.load_npz", lambda: load_npz(__file__), DataError, "not a zip file of arrays"),
]
