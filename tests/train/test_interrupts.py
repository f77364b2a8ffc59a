"""Signals and lost readers: the step in hand is finished, and the run can go on."""

import io
import signal
import sys
from collections import Counter

import numpy as np
import pytest

import portanet as pn
from portanet import nn, optim
from portanet.train.checkpoints import read_run

pytestmark = pytest.mark.usefixtures("pythons_handler")

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(60, 4)).astype("f4"), RNG.integers(3, size=60)
BATCHES = [(X[k : k + 20], Y[k : k + 20]) for k in (0, 20, 40)]


def trainer(*callbacks):
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).initialize(0)
    return pn.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model), callbacks=callbacks)


class At(pn.Callback):
    """Does something after a step."""

    def __init__(self, step, what):
        self.step, self.what = step, what

    def on_step_end(self, trainer, step):
        if step == self.step:
            self.what(trainer)


def press(trainer):
    signal.raise_signal(signal.SIGINT)


class Broken(io.StringIO):
    """A pipe whose reader is gone."""

    def write(self, text):
        raise BrokenPipeError

    def flush(self):
        raise BrokenPipeError


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("lost", [Broken, closed, lambda: None], ids=["broken", "closed", "none"])
def test_a_run_of_which_nobody_reads_ends_as_any_other(lost, tmp_path, monkeypatch):
    """As under ``python train.py 2>&1 | tee log``, where the Ctrl-C ends tee as well."""
    plain = trainer()
    plain.fit((X, Y), epochs=3, batch_size=20, progress=False)
    monkeypatch.setattr(sys, "stdout", lost())
    monkeypatch.setattr(sys, "stderr", lost())
    run = trainer(At(5, press))
    history = run.fit((X, Y), epochs=3, batch_size=20, checkpoint=tmp_path)
    assert (run.step, run.optimizer.steps, history.interrupted) == (5, 5, signal.SIGINT)
    assert read_run(tmp_path / "step-00000005.safetensors")["step"] == 5
    last = trainer()
    history = last.fit((X, Y), epochs=3, batch_size=20, checkpoint=tmp_path, resume="auto")
    assert history.steps == plain.history.steps


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_ended_a_run_is_said_after_its_last_step(number, tmp_path, capsys):
    run = trainer(At(2, lambda _: signal.raise_signal(number)))
    run.fit((X, Y), batch_size=20, checkpoint=tmp_path, progress=False)
    name = {signal.SIGINT: "interrupted", signal.SIGTERM: "told to end"}[number]
    assert capsys.readouterr().err.strip() == f"{name}: ended after step 2"


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="stands for a signal of Windows")
@pytest.mark.parametrize("saved", [False, True])
def test_windows_ctrl_break_ends_a_run_that_is_saved(saved, tmp_path, monkeypatch):
    monkeypatch.setattr(signal, "SIGBREAK", signal.SIGUSR1, raising=False)
    handlers = []

    def look(trainer):
        handlers.append(signal.getsignal(signal.SIGBREAK))
        if saved:
            signal.raise_signal(signal.SIGBREAK)

    run, options = trainer(At(2, look)), {"batch_size": 20, "progress": False}
    history = run.fit((X, Y), **options, checkpoint=tmp_path if saved else None)
    assert (run.step, history.interrupted) == ((2, signal.SIGUSR1) if saved else (3, 0))
    assert (handlers == [signal.SIG_DFL]) != saved
    assert signal.getsignal(signal.SIGBREAK) is signal.SIG_DFL


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp932", "utf-8"])
def test_a_console_that_lacks_the_letters(encoding, monkeypatch):
    def größe_σ(scores, target):
        return scores[:, 0] * 0.0

    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding))
    model = nn.Linear(4, 3).initialize(0)
    run = pn.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model), metrics=[größe_σ])
    run.fit((X, Y), epochs=2)
    lines = out.getvalue().decode(encoding).splitlines()
    assert [line.split()[:2] for line in lines] == [["epoch", "1/2"], ["epoch", "2/2"]]
    name = "größe_σ".encode(encoding, "replace").decode(encoding)
    assert all(f"  {name} 0.0000  " in line for line in lines)


@pytest.mark.parametrize("saved", [False, True])
def test_what_is_not_finite_is_not_saved_but_does_not_hold_up_the_end(saved, tmp_path, monkeypatch):
    def spoil(trainer):
        trainer.model.params["0.weight"][...] = np.nan
        press(trainer)

    monkeypatch.setattr(pn.get_backend(), "asynchronous", True)
    run, options = trainer(At(5, spoil)), {"epochs": 3, "progress": False}
    if saved:
        with pytest.raises(FloatingPointError, match=r"help\(Trainer.fit\) says how"):
            run.fit(BATCHES, **options, checkpoint=tmp_path)
        assert np.isfinite(run.model.params["0.weight"]).all()
    else:
        assert run.fit(BATCHES, **options).interrupted
        assert run.step == 5


def test_stopped_within_an_epoch_whose_validation_is_interrupted(tmp_path):
    class Validation:
        """Interrupts the first evaluation."""

        begun = 0

        def __iter__(self):
            self.begun += 1
            if self.begun == 1:
                signal.raise_signal(signal.SIGTERM)
            return iter(BATCHES)

    def stopping():
        return trainer(At(2, lambda run: setattr(run, "stop_training", True)))

    def fit(run, validation):
        options = {"epochs": 3, "validation_data": validation, "checkpoint": tmp_path / "run"}
        return run.fit(BATCHES, **options, resume="auto", progress=False)

    first, validation = stopping(), Validation()
    assert fit(first, validation).interrupted
    assert (first.step, len(first.history)) == (2, 0)
    last = stopping()
    history = fit(last, validation)
    assert (last.step, len(history), history.interrupted) == (2, 1, 0)


class Ending(pn.Callback):
    """Is told to end when all is done."""

    def on_fit_end(self, trainer):
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("where", ["on_fit_end", "save"])
def test_a_signal_after_the_last_step_marks_the_history(where, tmp_path, monkeypatch):
    write, saved = pn.Checkpoints.write, Counter()

    def writing(self, trainer, best):
        saved[trainer.step] += 1
        if saved[3] == 2:  # the epoch is saved, and then that this call of fit is done
            signal.raise_signal(signal.SIGTERM)
        return write(self, trainer, best)

    run = trainer(*([Ending()] if where == "on_fit_end" else []))
    if where == "save":
        monkeypatch.setattr(pn.Checkpoints, "write", writing)
    history = run.fit(BATCHES, checkpoint=tmp_path, progress=False)
    assert history.interrupted == signal.SIGTERM
    assert not read_run(tmp_path / "step-00000003.safetensors")["running"]


def test_a_rate_can_be_changed_where_a_run_goes_on(tmp_path):
    class Rate(pn.Callback):
        def on_fit_begin(self, trainer):
            trainer.optimizer.hyper["lr"] = 1e-4

    options = {"epochs": 2, "checkpoint": tmp_path, "progress": False}
    trainer(At(3, press)).fit(BATCHES, **options)
    last = trainer(Rate())
    history = last.fit(BATCHES, **options, resume="auto")
    assert history["lr"] == [1e-3, 1e-4]
