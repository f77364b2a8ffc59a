"""Randomness that is explicit: numbers are a pure function of a seed and a purpose.

Weights, shuffles and splits are drawn here, on the host, from the raw bits of NumPy's counter-based
Philox generator (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011). Raw bits are
stable across NumPy versions, which NumPy does not promise of its distributions, so the conversions
to uniform and normal numbers are written out. The same seed therefore gives the same network and
the same batches on every backend, today and after an upgrade.
"""

import operator
from dataclasses import dataclass
from math import prod
from typing import Any

from portanet.checks import integer, lengths
from portanet.conversion import float_dtype

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Key:
    """A seed and the path of a purpose: ``Key(0).child("init", "c1.weight")``.

    Two keys that differ in seed or path give independent numbers; the same key gives the same
    numbers each time it is asked. All methods return NumPy arrays.
    """

    seed: int
    path: tuple[str | int, ...] = ()

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "seed", operator.index(self.seed))
        except TypeError:
            raise TypeError(f"a seed must be an integer, got {self.seed!r}") from None

    def child(self, *names: str | int) -> "Key":
        """Return the key of a sub-purpose."""
        try:
            plain = tuple(name if isinstance(name, str) else operator.index(name) for name in names)
        except TypeError:
            raise TypeError(f"a key's path holds words and integers, got {names!r}") from None
        return Key(self.seed, self.path + plain)

    def bits(self, n: int, skip: int = 0) -> Any:
        """Return `n` random 64-bit words, uint64 of shape ``(n,)``, after `skip` blocks of 4."""
        from numpy.random import Philox

        n, skip = integer("n", n, least=0), integer("skip", skip, least=0)
        return Philox(key=self.number(), counter=skip).random_raw(n)

    def number(self) -> int:
        """Return Philox's key, of 128 bits: the generator of numbers that belongs to this key."""
        import hashlib

        digest = hashlib.blake2b(repr((self.seed, *self.path)).encode(), digest_size=16).digest()
        return int.from_bytes(digest, "little")

    def uniform(self, shape: Shape, dtype: str = "float64") -> Any:
        """Return numbers uniform in [0, 1), with 53 random bits (24 in float32)."""
        n = prod(lengths("shape", shape))
        if float_dtype(dtype) == "float32":
            halves = self.bits((n + 1) // 2).astype("<u8", copy=False).view("<u4")[:n]
            return ((halves >> 8).astype("float32") * 2.0**-24).reshape(shape)
        return ((self.bits(n) >> 11) * 2.0**-53).reshape(shape)

    def samples(self, shape: Shape, dtype: str, first: int = 0) -> Any:
        """Return numbers uniform in [0, 1), (N, F): row n belongs to sample ``first + n``.

        Each row begins at a Philox block of its own (4 words), so rows can be drawn by themselves.
        """
        if len(lengths("shape", shape)) != 2:
            raise ValueError(f"shape must be (N, F), got {shape!r}")
        (n, f), single = shape, float_dtype(dtype) == "float32"
        blocks = -(-f // (8 if single else 4))
        words = self.bits(4 * blocks * n, skip=blocks * integer("first", first, least=0))
        if single:
            halves = words.astype("<u8", copy=False).view("<u4").reshape(n, 8 * blocks)[:, :f]
            return (halves >> 8).astype("float32") * 2.0**-24
        return (words.reshape(n, 4 * blocks)[:, :f] >> 11) * 2.0**-53

    def normal(self, shape: Shape) -> Any:
        """Return standard normal numbers, float64, by the Box-Muller transform (1958)."""
        import numpy as np

        n = prod(lengths("shape", shape))
        half = (n + 1) // 2
        u = self.uniform((2, half))
        radius, angle = np.sqrt(-2.0 * np.log1p(-u[0])), 2.0 * np.pi * u[1]
        return np.concatenate((radius * np.cos(angle), radius * np.sin(angle)))[:n].reshape(shape)

    def permutation(self, n: int) -> Any:
        """Return the numbers 0 … n−1 in random order, int64."""
        return self.bits(n).argsort(kind="stable")

    def integers(self, high: int, shape: Shape) -> Any:
        """Return integers uniform in [0, high), int64; `high` is at most 2**53."""
        if integer("high", high) > 2**53:
            raise ValueError(f"high must be at most 2**53, got {high!r}")
        return (self.uniform(shape) * high).astype("int64")


def fresh_seed() -> int:
    """Return a seed from the operating system's entropy."""
    import secrets

    return secrets.randbits(63)
