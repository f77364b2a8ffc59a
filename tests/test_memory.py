"""The allocator's setting: made when training starts, never against the user's, and undone."""

import os
import subprocess
import sys

import pytest

memory = pytest.importorskip("portanet_numpy").memory

pytestmark = pytest.mark.skipif(
    memory._glibc() is None, reason="the allocator is not glibc's: there is nothing to set"
)

TRAIN = """
import numpy as np, portanet as pn
from portanet import nn, optim
from portanet_numpy import fusion, memory

fusion.numba = lambda: None  # its own code would stay

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                      nn.Linear(16 * 63 * 63, 10))
x, y = np.zeros((64, 3, 128, 128), "float32"), np.arange(64) % 10
trainer = pn.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model))
assert memory.keep.cache_info().currsize == 0, "set before training"
before = resident()
trainer.fit((x, y), batch_size=64, progress=False)
trained = resident()
pn.release_memory()
released = resident()
print(memory.keep(), (trained - released) / (trained - before))
"""


def run(**environment):
    plain = {n: v for n, v in os.environ.items() if not n.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run(
        [sys.executable, "-c", TRAIN], env=plain | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    kept, share = done.stdout.split()
    return kept == "True", float(share)


def test_training_keeps_memory_and_release_gives_it_back():
    kept, share = run()
    assert kept
    assert share >= 0.8


@pytest.mark.parametrize(
    "environment",
    [
        {"PORTANET_KEEP_MEMORY": "0"},
        {"MALLOC_ARENA_MAX": "2"},
        {"GLIBC_TUNABLES": "glibc.malloc.check=0"},
    ],
    ids=lambda e: next(iter(e)),
)
def test_the_users_setting_wins(environment):
    kept, _ = run(**environment)
    assert not kept
