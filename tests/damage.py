"""Damage to files, as accidents and malice cause it, for hypothesis to choose from.

A change is a function of bytes whose repr says what it does. A place is counted from the front, or
from the back where it is negative.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from small_data import idx, matrix, npy

Contents = dict[str, bytes]
Change = Callable[[bytes], bytes]

# What the numbers of headers are replaced by: nothing, the ends of the types, the absurd.
NUMBERS = [0, 1, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 40, 0xFF << 56]
DIGITS = ["0", "-1", "7", "1e9", "0.5", "", "true", str(2**31), str(2**63), str(2**64), "9" * 30]
NONSENSE = [b"", b"\0", b"text", b"<html>log in</html>", b"\x1f\x8b", b"PK\5\6" + bytes(18)]
FOUR, PIXELS = np.arange(1, 5, dtype=np.uint8), np.zeros((4, 28, 28), np.uint8)
SOUND = [idx(FOUR), idx(PIXELS), idx(FOUR[:0]), npy(FOUR), npy(PIXELS), matrix("y", FOUR[:, None])]


def split(data: bytes, at: int) -> tuple[bytes, bytes]:
    at %= len(data) + 1
    return data[:at], data[at:]


@dataclass(frozen=True)
class Flip:
    """Changes one bit."""

    at: int
    bit: int

    def __call__(self, data: bytes) -> bytes:
        before, after = split(data, self.at)
        return before + bytes(byte ^ 1 << self.bit for byte in after[:1]) + after[1:]


@dataclass(frozen=True)
class Overwrite:
    """Puts bytes in the place of others."""

    at: int
    new: bytes

    def __call__(self, data: bytes) -> bytes:
        before, after = split(data, self.at)
        return before + self.new + after[len(self.new) :]


@dataclass(frozen=True)
class Insert:
    """Puts bytes between others."""

    at: int
    new: bytes

    def __call__(self, data: bytes) -> bytes:
        before, after = split(data, self.at)
        return before + self.new + after


@dataclass(frozen=True)
class Remove:
    """Leaves bytes out."""

    at: int
    length: int

    def __call__(self, data: bytes) -> bytes:
        before, after = split(data, self.at)
        return before + after[self.length :]


@dataclass(frozen=True)
class Repeat:
    """Puts bytes several times."""

    at: int
    length: int
    times: int

    def __call__(self, data: bytes) -> bytes:
        before, after = split(data, self.at)
        return before + after[: self.length] * self.times + after[self.length :]


@dataclass(frozen=True)
class Cut:
    """Ends the file early."""

    at: int

    def __call__(self, data: bytes) -> bytes:
        return split(data, self.at)[0]


@dataclass(frozen=True)
class Swell:
    """Adds zeros, of which a compressed file holds very many in few bytes."""

    length: int

    def __call__(self, data: bytes) -> bytes:
        return data + bytes(self.length)


@dataclass(frozen=True)
class Redigit:
    """Replaces a number that is written in decimal digits, as some headers have them.

    Their length stays, where there are spaces.
    """

    which: int
    new: str

    def __call__(self, data: bytes) -> bytes:
        numbers = list(re.finditer(rb"\d+", data[:4096]))
        if not numbers:
            return data
        start, end = numbers[self.which % len(numbers)].span()
        new, rest = self.new.encode().ljust(end - start), data[end:]
        return data[:start] + new + rest.replace(b" " * (len(new) - (end - start)), b"", 1)


@dataclass(frozen=True)
class Become:
    """Puts another file in the place of this one."""

    new: bytes

    def __call__(self, data: bytes) -> bytes:
        return self.new


@dataclass(frozen=True)
class Twice:
    """Writes the file behind itself."""

    def __call__(self, data: bytes) -> bytes:
        return data + data


# Headers are at the front, those of zip files at the back.
PLACES = st.one_of(st.integers(-5, 4), st.integers(-160, 159), st.integers(0, 1 << 20))
BINARY = st.builds(
    lambda number, size, order: (number % (1 << 8 * size)).to_bytes(size, order),
    st.sampled_from(NUMBERS),
    st.sampled_from([2, 4, 8]),
    st.sampled_from(["big", "little"]),
)
CHANGES = st.one_of(
    st.builds(Flip, PLACES, st.integers(0, 7)),
    st.builds(Overwrite, PLACES, BINARY),
    st.builds(Overwrite, PLACES, st.binary(min_size=1, max_size=9)),
    st.builds(Insert, PLACES, st.binary(min_size=1, max_size=9)),
    st.builds(Remove, PLACES, st.integers(1, 99)),
    st.builds(Repeat, PLACES, st.integers(1, 99), st.sampled_from([2, 3, 1000])),
    st.builds(Cut, PLACES),
    st.builds(Redigit, st.integers(0, 40), st.sampled_from(DIGITS)),
    st.builds(Swell, st.sampled_from([1, 1000, 1 << 21])),
    st.builds(Become, st.sampled_from(NONSENSE)),
    st.builds(Twice),
)


@dataclass(frozen=True)
class Damage:
    """What happens to files: parts are changed inside, before they are packed, or files outside.

    What is changed before it is packed has the right checksum, and so reaches those who read behind
    it. `exchanged` are two parts that stand in each other's place.
    """

    inside: tuple[tuple[int, Change], ...] = ()
    outside: tuple[tuple[int, Change], ...] = ()
    exchanged: tuple[int, int] = (0, 0)

    def parts(self, parts: Contents) -> Contents:
        names = list(parts)
        one, other = (names[k % len(names)] for k in self.exchanged)
        return changed(parts | {one: parts[other], other: parts[one]}, self.inside)

    def files(self, files: Contents) -> Contents:
        return changed(files, self.outside)


def changed(contents: Contents, changes: tuple[tuple[int, Change], ...]) -> Contents:
    names = list(contents)
    for which, change in changes:
        name = names[which % len(names)]
        contents = contents | {name: change(contents[name])}
    return contents


WHICH = st.integers(0, 5)
ONE = st.tuples(st.tuples(WHICH, CHANGES))
FOREIGN = st.tuples(st.tuples(WHICH, st.builds(Become, st.sampled_from(SOUND))))
SOME = st.lists(st.tuples(WHICH, CHANGES), min_size=2, max_size=3).map(tuple)
DAMAGES = st.one_of(
    st.builds(Damage, inside=ONE),
    st.builds(Damage, inside=FOREIGN),
    st.builds(Damage, inside=SOME),
    st.builds(Damage, outside=ONE),
    st.builds(Damage, outside=SOME),
    st.builds(Damage, inside=ONE, exchanged=st.tuples(WHICH, WHICH)),
)
