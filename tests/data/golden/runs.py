"""A small run, as each release writes it.

``python tests/data/golden/runs.py`` adds this version's. The files of releases are kept for good:
what was saved with one must load with all later ones.
"""

import json
from pathlib import Path

import numpy as np

import portanet as pn
from portanet import nn, optim

HERE = Path(__file__).parent
OPTIONS = {"batch_size": 8, "progress": False, "epochs": 3}


class StopAt(pn.Callback):
    """Ends the run in the middle of its second epoch, as a signal does, and saves it."""

    def __init__(self, step, path):
        self.step, self.path = step, path

    def on_step_end(self, trainer, step):
        if step == self.step:
            trainer.save(self.path)


def data():
    """Return 40 samples that need no file, and 10 more to validate with."""
    key = pn.Key(1)
    x, y = key.uniform((50, 1, 6, 6), "float32"), key.child("y").integers(3, (50,))
    return (x[:40], y[:40]), (x[40:], y[40:])


def trainer(seed=0, callbacks=()):
    """Return the trainer; one that loads the file may begin with any weights."""
    model = nn.Sequential(
        {
            "conv": nn.Conv2d(1, 2, 3),
            "norm": nn.BatchNorm2d(2),
            "act": nn.ReLU(),
            "flat": nn.Flatten(),
            "drop": nn.Dropout(0.2),
            "fc": nn.Linear(32, 3),
        }
    ).initialize(seed)
    transforms = [optim.ClipGradNorm(1.0)]
    return pn.Trainer(
        model,
        nn.CrossEntropyLoss(),
        optim.Adam(model, lr=0.01, transforms=transforms, groups={"fc": {"lr": 0.005}}),
        schedule=optim.ReduceLROnPlateau(factor=0.5, patience=0, threshold=1.0),
        callbacks=[pn.EarlyStopping(patience=9, restore_best_weights=True), *callbacks],
    )


def main():
    """Write the run in the middle, and what became of it."""
    path = HERE / f"run-{pn.__version__}.safetensors"
    run = trainer(callbacks=[StopAt(7, path)])
    with pn.use_backend("numpy"):
        train, validation = data()
        history = run.fit(train, validation_data=validation, **OPTIONS)
    quantities = {name: history[name] for name in ("loss", "val_loss", "accuracy", "lr")}
    sums = {n: float(np.sum(np.abs(a))) for n, a in run.model.state_dict().items()}
    text = json.dumps({"history": quantities, "steps": history.steps, "sums": sums}, indent=1)
    path.with_suffix(".json").write_text(text + "\n")
    pn.save_weights(run.model, HERE / f"weights-{pn.__version__}.npz")
    pn.save_weights(run.model, HERE / f"weights-{pn.__version__}.safetensors")


if __name__ == "__main__":
    main()
