"""Batches and data sets."""

from portanet.data.dataset import load_digits, load_mnist, load_npz
from portanet.data.files import DataError, DataNotFoundError
from portanet.data.loader import DataLoader

__all__ = [
    "DataError",
    "DataLoader",
    "DataNotFoundError",
    "load_digits",
    "load_mnist",
    "load_npz",
]
