"""Batches, data sets and augmentation."""

from portanet.data.affine import RandomAffine, RandomRotation
from portanet.data.augment import ColorJitter, Cutout, RandomCrop, RandomHorizontalFlip
from portanet.data.cifar10 import load_cifar10
from portanet.data.dataset import load_digits, load_fashion_mnist, load_mnist, load_npz
from portanet.data.files import DataError, DataNotFoundError
from portanet.data.loader import DataLoader
from portanet.data.svhn import load_svhn
from portanet.data.transform import Compose, Transform

__all__ = [
    "ColorJitter",
    "Compose",
    "Cutout",
    "DataError",
    "DataLoader",
    "DataNotFoundError",
    "RandomAffine",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomRotation",
    "Transform",
    "load_cifar10",
    "load_digits",
    "load_fashion_mnist",
    "load_mnist",
    "load_npz",
    "load_svhn",
]
