"""A training run in a process of its own, for the tests that kill it: see train/test_killed.py.

It tells through a pipe what it does: ``"step"``, ``"writing"``, ``"renaming"``. Within the writing
of a checkpoint it waits to be told to go on.
"""

import os
import sys
from pathlib import Path

import portanet as pn
from portanet import data, nn, optim


class Teller(pn.Callback):
    """Tells of each step."""

    def __init__(self, pipe):
        self.pipe = pipe

    def on_step_end(self, trainer, step):
        self.pipe.send("step")


class HaltingFile:
    """A file whose writing halts halfway."""

    def __init__(self, file, pipe):
        self.file, self.pipe = file, pipe

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.file.close()

    def writelines(self, parts):
        whole = b"".join(parts)
        half = len(whole) // 2
        self.file.write(whole[:half])
        self.file.flush()
        self.pipe.send("writing")
        self.pipe.recv()
        self.file.write(whole[half:])


def halt_within_writing(pipe):
    """Stop halfway through each file, and when it is whole but has not its name yet."""
    opened, replace = Path.open, os.replace

    def open_halting(path, mode="r", *args, **kwargs):
        file = opened(path, mode, *args, **kwargs)
        return HaltingFile(file, pipe) if mode == "xb" else file

    def replace_halting(source, target):
        pipe.send("renaming")
        pipe.recv()
        replace(source, target)

    Path.open, os.replace = open_halting, replace_halting


def network(batch_norm):
    """Return a network with dropout; with batch norm, its batches are never cut into parts."""
    return nn.Sequential(
        nn.Conv2d(1, 2, 3),
        nn.BatchNorm2d(2) if batch_norm else nn.GELU(),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.25),
        nn.Linear(2 * 13 * 13, 10),
    ).initialize(0)


def train(pipe, backend, options, batch_norm, folder, out, halting):
    """Train in `folder`, going on where that was left, and save the finished run to `out`.

    The process ends with the code that a shell gives a program that a signal ended.
    """
    if halting:
        halt_within_writing(pipe)
    if backend == "torch":
        import torch

        torch.set_num_threads(1)  # its threads spin where others have the cores
    pn.set_backend(backend, **options)
    key = pn.Key(0)
    x, y = key.uniform((432, 1, 28, 28), "float32"), key.child("y").integers(10, (432,))
    # In parts of 64 samples, where the network can be cut: several threads have something to do.
    crop = data.RandomCrop(28, padding=2)
    loader = data.DataLoader((x[:400], y[:400]), 100, shuffle=True, transform=crop)
    model = network(batch_norm)
    trainer = pn.Trainer(
        model,
        nn.CrossEntropyLoss(),
        optim.Adam(model, transforms=[optim.GradientNoise(1e-4), optim.ClipGradNorm(1.0)]),
        schedule=optim.OneCycleLR(max_lr=0.01),
        callbacks=[Teller(pipe), pn.EarlyStopping(patience=50, restore_best_weights=True)],
    )
    history = trainer.fit(
        loader,
        epochs=10,
        validation_data=(x[400:], y[400:]),
        checkpoint=folder and pn.Checkpoints(folder, keep=2, steps=1),
        resume=folder and "auto",
        progress=False,
    )
    if history.interrupted:
        sys.exit(128 + history.interrupted)
    trainer.save(out)
