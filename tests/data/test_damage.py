"""Damaged data files of any kind: nothing comes of them but DataError, in little memory."""

import os
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_data import idx, mat, matrix, npy, packed, svhn, write, zipped

from portanet.data import DataError, cifar10, load_npz
from portanet.data.formats import read_idx

NUMBERS = [0, 1, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 40, 0xFF << 56]


def damaged(random, data):
    """Return bytes that were changed, put in, left out or cut off, near the ends above all."""
    data = bytearray(data)
    for _ in range(random.randint(1, 3)):
        at = random.randrange(len(data) + 1)
        if random.random() < 0.7:  # headers are at the front, those of zip files at the back
            at = min(at % 128, len(data)) if random.random() < 0.7 else max(len(data) - at % 128, 0)
        what = random.randrange(6)
        if what == 0:
            data[at : at + 1] = bytes([random.randrange(256)])
        elif what == 1:  # a number of a header
            size = random.choice([2, 4, 8])
            number = random.choice(NUMBERS) % (1 << 8 * size)
            data[at : at + size] = number.to_bytes(size, random.choice(["big", "little"]))
        elif what == 2:
            data[at:at] = random.randbytes(random.randint(1, 9))
        elif what == 3:
            del data[at : at + random.randint(1, 9)]
        elif what == 4:
            data[at:at] = data[at : at + random.randint(1, 99)]
        else:
            del data[at:]
    return bytes(data)


LABELS, IMAGES = np.array([3, 1, 2]), np.arange(75, dtype=np.uint8).reshape(3, 5, 5)
ARRAYS = {"images": npy(IMAGES), "labels": npy(LABELS)}
RECORDS = bytes(3073) + b"\x09" + bytes(range(256)) * 12


def labels_of_npy(path):
    path.write_bytes(zipped(images=ARRAYS["images"], labels=path.read_bytes()))
    return load_npz(path)[1]


KINDS = {
    "idx": (idx(LABELS), lambda path: read_idx(path, ())),
    "idx images": (idx(IMAGES), lambda path: read_idx(path, (5, 5))),
    "idx.gz": (packed(idx(LABELS)), lambda path: read_idx(path, ())),
    "deflated npz": (zipped(**ARRAYS), lambda path: load_npz(path)[1]),
    "stored npz": (zipped(zipfile.ZIP_STORED, **ARRAYS), lambda path: load_npz(path)[1]),
    "npy in a good npz": (ARRAYS["labels"], labels_of_npy),
    "cifar10": (RECORDS, cifar10.read_records),
}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cifar10, "RECORDS", len(RECORDS) // cifar10.RECORD)
        yield tmp_path_factory.mktemp("damaged")


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(random=st.randoms(use_true_random=False))
def test_damage_of_any_kind(kind, scratch, random):
    source, read = KINDS[kind]
    path = scratch / kind
    path.write_bytes(damaged(random, source))
    tracemalloc.start()
    try:
        assert len(read(path)) > 0
    except DataError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 1 << 23


@pytest.mark.parametrize("kind", KINDS)
def test_no_damage(kind, scratch):
    source, read = KINDS[kind]
    path = scratch / kind
    path.write_bytes(source)
    assert len(read(path)) == (2 if kind == "cifar10" else 3)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_damaged_matlab_files(tmp_path):
    pytest.importorskip("scipy.io")
    images, labels = matrix("X", svhn(2)[0]), matrix("y", svhn(2)[1])
    random = Random(0)
    contents = {}
    for number in range(20):
        contents[f"plain{number}"] = damaged(random, mat(images, labels, compressed=False))
        contents[f"compressed{number}"] = damaged(random, mat(images, labels))
        contents[f"inside{number}"] = mat(damaged(random, images), labels)
        contents[f"good{number}"] = mat(images, labels)
    write(tmp_path, contents)
    reader = Path(__file__).parent.parent / "read_mat_files.py"
    process = subprocess.run(
        [sys.executable, reader, *(tmp_path / name for name in contents)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    outcomes = dict(zip(contents, process.stdout.splitlines(), strict=True))
    assert set(outcomes.values()) == {"read", "DataError"}
    assert {outcomes[f"good{number}"] for number in range(20)} == {"read"}
