"""Saved runs: exact continuation, files that are whole, folders that keep what they should."""

import errno
import json
import os
import signal
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

import portanet as pn
from portanet import nn, optim, storage
from portanet.storage import pack, unpack
from portanet.train import checkpoints as module
from portanet.train.checkpoints import read_run

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(60, 5)).astype("f4"), RNG.integers(3, size=60)
DATA = {"batch_size": 8, "validation_data": (X[:20], Y[:20]), "progress": False}


def trainer(init=0, make=optim.Adam, **options):
    model = nn.Sequential(
        {
            "a": nn.Linear(5, 8),
            "norm": nn.BatchNorm1d(8),
            "act": nn.ReLU(),
            "drop": nn.Dropout(0.3),
            "b": nn.Linear(8, 3),
        }
    ).initialize(init)
    options = {"schedule": optim.OneCycleLR(max_lr=0.01)} | options
    return pn.Trainer(model, nn.CrossEntropyLoss(), make(model), **options)


def comparable(run):
    """Return all that a run holds but times, as text and bytes."""
    state = run.state_dict()
    epochs = state["history"]["epochs"]
    names = [name for name in epochs if name not in ("seconds", "samples_per_second")]
    state["history"] = {"epochs": {n: epochs[n] for n in names}, "steps": state["history"]["steps"]}
    if state["unfinished"]:
        del state["unfinished"]["seconds"]
    text, arrays = pack(state)
    bits = {n: pn.backend_of(array).to_numpy(array).tobytes() for n, array in arrays.items()}
    return text, bits


class StopAt(pn.Callback):
    """Ends the process's part of a run as a signal does, at a step."""

    def __init__(self, *steps):
        self.steps = steps

    def on_step_end(self, trainer, step):
        if step in self.steps:
            signal.raise_signal(signal.SIGINT)


class Counting(pn.Callback):
    """Remembers how many epochs it saw."""

    def __init__(self):
        self.seen, self.began = 0, []

    def on_epoch_begin(self, trainer, epoch):
        self.began.append(epoch)

    def on_epoch_end(self, trainer, epoch, logs):
        self.seen += 1

    def state_dict(self):
        return {"seen": self.seen}

    def load_state_dict(self, state):
        self.seen = state["seen"]


SCHEDULES = {
    "one-cycle": lambda: optim.OneCycleLR(max_lr=0.01),
    "plateau": lambda: optim.ReduceLROnPlateau(patience=0, factor=0.5),
    "none": lambda: None,
}


@pytest.mark.usefixtures("pythons_handler")
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("stops", [(3,), (8,), (16, 19)])  # an epoch has 8 steps
@pytest.mark.parametrize("span", [{"epochs": 4}, {"steps": 29}, {"epochs": 4, "accumulate": 3}])
def test_interrupted_and_resumed_a_run_is_the_same(tmp_path, schedule, stops, span):
    def callbacks():
        return [Counting(), pn.EarlyStopping(patience=9, restore_best_weights=True)]

    whole = trainer(schedule=SCHEDULES[schedule](), callbacks=callbacks())
    whole.fit((X, Y), **DATA, **span)
    stops = [stop // span.get("accumulate", 1) for stop in stops]
    for seed, stop in enumerate(stops):
        part = trainer(seed, schedule=SCHEDULES[schedule](), callbacks=[*callbacks(), StopAt(stop)])
        history = part.fit((X, Y), **DATA, **span, checkpoint=tmp_path, resume="auto")
        assert history.interrupted == 2
        assert part.step == stop
    last = trainer(8, schedule=SCHEDULES[schedule](), callbacks=callbacks())
    history = last.fit((X, Y), **DATA, **span, checkpoint=tmp_path, resume="auto")
    assert not history.interrupted
    assert last.callbacks[0].seen == whole.callbacks[0].seen
    if stops == [3]:  # the epoch that was begun does not begin again
        assert last.callbacks[0].began == [1, 2, 3]
    assert comparable(last) == comparable(whole)


@pytest.mark.usefixtures("pythons_handler")
@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("stop", [3, 40, 50, 60])
def test_what_is_rolled_back_does_not_depend_on_where_a_run_was_saved(
    tmp_path, monkeypatch, stop, asynchronous
):
    def fit(seed=0, stop=None, **saved):
        model = nn.Sequential(nn.Dropout(0.3), nn.Linear(5, 1)).initialize(seed)
        callbacks, optimizer = [StopAt(stop)], optim.Adam(model)
        run = pn.Trainer(model, nn.MSELoss(), optimizer, callbacks=callbacks, on_nan="rollback")
        run.fit((x, y), batch_size=4, shuffle=False, progress=False, epochs=2, **saved)
        return run

    x = np.tile(X, (4, 1))  # 60 steps an epoch
    y = x[:, :1].copy()
    x[[4 * 45, 4 * 54]] = 3e38  # the loss is not finite in the steps 46 and 55
    monkeypatch.setattr(pn.get_backend(), "asynchronous", asynchronous)
    with np.errstate(all="ignore"):
        whole = fit()
        often = fit(checkpoint=pn.Checkpoints(tmp_path / "often", steps=7))
        part = fit(stop=stop, checkpoint=tmp_path / "run")
        assert (part.step, part.history.interrupted) == (stop, signal.SIGINT)
        last = fit(1, checkpoint=tmp_path / "run", resume="auto")
    # Good ones are kept after step 32; where losses are seen at once, after 46, too.
    assert whole.history["undone"] == ([28.0, 28.0] if asynchronous else [14.0 + 9.0] * 2)
    saved = [comparable(run) for run in (whole, often, last)]
    for _, bits in saved:  # steps that will be undone have other losses when some are already
        del bits["history.steps.loss"]
    assert saved[0] == saved[1] == saved[2]


def test_parameters_that_only_a_checkpoint_finds_spoiled_are_rolled_back_as_without(tmp_path):
    class Spoil(pn.Callback):
        def on_step_end(self, trainer, step):
            if step == 45:  # its loss was finite; that of the next is not
                trainer.model.params["weight"][...] = np.inf

    def fit(**saved):
        model = nn.Linear(5, 1).initialize(0)
        options = {"callbacks": [Spoil()], "on_nan": "rollback"}
        run = pn.Trainer(model, nn.MSELoss(), optim.Adam(model), **options)
        run.fit((x, x[:, :1]), batch_size=4, shuffle=False, progress=False, **saved)
        return run

    x = np.tile(X, (4, 1))  # 60 steps
    with np.errstate(all="ignore"):
        whole, often = fit(), fit(checkpoint=pn.Checkpoints(tmp_path, steps=9))
    assert whole.history["undone"] == often.history["undone"] == [14.0]  # 33 to 46
    np.testing.assert_array_equal(whole.model.params["weight"], often.model.params["weight"])


@pytest.mark.usefixtures("pythons_handler")
def test_an_epoch_gone_on_with_is_gone_back_to_where_it_was_saved(tmp_path):
    def fit(seed, stop):
        model = nn.Linear(5, 1).initialize(seed)
        run = pn.Trainer(model, nn.MSELoss(), optim.SGD(model), callbacks=[StopAt(stop)])
        saved = {"checkpoint": tmp_path, "resume": "auto"}
        return run.fit((x, x[:, :1]), batch_size=4, shuffle=False, progress=False, **saved)

    x = X.copy()
    x[4 * 5] = 3e38  # of the sixth step
    assert fit(0, 3).interrupted
    with (
        np.errstate(all="ignore"),
        pytest.raises(FloatingPointError, match=r"^step 6 \(epoch 1\): the .* is not finite"),
    ):
        fit(1, None)


def test_a_finished_run_is_not_trained_again(tmp_path):
    first, again = trainer(), trainer(1)
    first.fit((X, Y), epochs=2, **DATA, checkpoint=tmp_path, resume="auto")
    history = again.fit((X, Y), epochs=2, **DATA, checkpoint=tmp_path, resume="auto")
    assert len(history) == 2
    assert comparable(again) == comparable(first)


@pytest.mark.usefixtures("pythons_handler")
def test_calls_of_fit_one_after_the_other_resume_each_at_its_own(tmp_path):
    def script(folder, stop=None):
        run = trainer(callbacks=[StopAt(stop)])
        saved = {"checkpoint": folder, "resume": "auto"} if folder else {}
        for lr, epochs in ((0.01, 2), (0.001, 2)):
            run.schedule = optim.OneCycleLR(max_lr=lr)
            if run.fit((X, Y), epochs=epochs, **DATA, **saved).interrupted:
                break
        return run

    whole = script(None)
    assert script(tmp_path, stop=21).step == 21
    assert comparable(script(tmp_path)) == comparable(whole)


@pytest.mark.usefixtures("pythons_handler")
@pytest.mark.parametrize("resume", ["auto", None])  # of the first process's calls after the first
@pytest.mark.parametrize("stop", [3, 17, 20, 29])
def test_a_finished_call_is_left_as_it_ended(tmp_path, stop, resume):
    def script(folder, seed=0, stop=None, resume="auto"):
        callbacks = [Counting(), pn.EarlyStopping(patience=9), StopAt(stop)]
        run, ends = trainer(seed, callbacks=callbacks), []
        for number, lr in enumerate((0.01, 0.002, 0.001)):
            run.schedule = optim.OneCycleLR(max_lr=lr)
            run.fit(
                (X, Y),
                epochs=(2, 1, 2)[number],
                **DATA,
                checkpoint=folder and pn.Checkpoints(folder, keep=1),
                resume=folder and (resume if number else "auto"),
            )
            ends.append(comparable(run))
            if run.history.interrupted:
                break
            run.restore_best()
            run.optimizer.hyper["lr"] = lr
        return ends

    whole = script(None)
    assert len(script(tmp_path, stop=stop, resume=resume)) == 1 + (stop > 16) + (stop > 24)
    for seed in (1, 2):  # what has finished is gone through again
        assert script(tmp_path, seed) == whole
    kept = ["best.safetensors", "call-1.safetensors", "call-2.safetensors"]
    assert names(tmp_path) == [*kept, "step-00000040.safetensors"]


@pytest.mark.usefixtures("pythons_handler")
def test_a_call_whose_files_are_all_damaged_begins_anew(tmp_path):
    def script(folder, stop=None):
        run = trainer(schedule=None, callbacks=[StopAt(stop)])
        for _ in range(12):  # the number of a call may have two digits
            run.fit((X, Y), **DATA, checkpoint=folder, resume=folder and "auto")
            if run.history.interrupted:
                break
        return run

    whole = script(None)
    script(tmp_path, stop=91)
    damaged = list(tmp_path.glob("step-*"))
    for path in damaged:
        path.write_bytes(b"")
    with pytest.warns(UserWarning, match="not a readable"):
        assert comparable(script(tmp_path)) == comparable(whole)


def test_the_end_of_a_call_that_cannot_be_read(tmp_path):
    def script():
        run = trainer(schedule=None)
        for _ in range(2):
            run.fit((X, Y), epochs=1, **DATA, checkpoint=tmp_path, resume="auto")

    script()
    end = tmp_path / "call-1.safetensors"
    end.write_bytes(end.read_bytes()[:-9])
    for wrong in ("not a readable", "there is no checkpoint"):
        message = f"call 1 of fit is finished.*{wrong}.*resume='.*step-00000016"
        with pytest.raises(pn.CheckpointError, match=message):
            script()
        end.unlink(missing_ok=True)


@pytest.mark.usefixtures("pythons_handler")
def test_a_call_that_was_interrupted_has_no_end(tmp_path):
    run = trainer(schedule=None, callbacks=[StopAt(11)])
    run.fit((X, Y), **DATA, checkpoint=tmp_path)
    run.fit((X, Y), **DATA, checkpoint=tmp_path)
    run.fit((X, Y), **DATA, checkpoint=tmp_path)
    (end,) = tmp_path.glob("call-*")
    assert (end.name, read_run(end)["step"]) == ("call-1.safetensors", 8)


def test_a_run_that_is_one_call_keeps_no_ends(tmp_path):
    for epochs in (1, 2):
        trainer().fit((X, Y), epochs=epochs, **DATA, checkpoint=tmp_path, resume="auto")
    assert not list(tmp_path.glob("call-*"))


OTHER = {
    "seed": (lambda: {"seed": 7}, {}, "the Trainer's seed was 0, now 7"),
    "rate": (lambda: {"make": partial(optim.Adam, lr=0.5)}, {}, "lr was 0.001, now 0.5"),
    "group": (
        lambda: {"make": partial(optim.Adam, groups={"b": {"lr": 0.25}})},
        {},
        "b.lr was 0.125, now 0.25",
    ),
    "cut": (dict, {"batch_size": 5}, "batch_size was 8, now 5"),
    "two": (
        lambda: {"seed": 3},
        {"shuffle": False},
        "seed was 0, now 3; shuffle was True, now False",
    ),
}


@pytest.mark.parametrize("kind", OTHER)
@pytest.mark.parametrize("epochs", [1, 2])  # a finished run, and one that goes on
def test_options_that_differ_from_the_saved_runs_are_told(tmp_path, kind, epochs):
    made, options, message = OTHER[kind]
    groups = {"make": partial(optim.Adam, groups={"b": {"lr": 0.125}})} if kind == "group" else {}
    first = trainer(schedule=None, **groups)
    first.fit((X, Y), epochs=1, **DATA, checkpoint=tmp_path)
    run = trainer(1, schedule=None, **made())
    saved = {"epochs": epochs, "checkpoint": tmp_path, "resume": "auto"}
    with pytest.warns(UserWarning, match=f"other options: .*{message}\\. Its") as told:
        run.fit((X, Y), **DATA | options, **saved)
    assert len(told) == 1
    assert (told[0].filename, run.seed) == (__file__, 0)
    assert {n: dict(g.initial) for n, g in run.optimizer.groups.items()} == {
        n: dict(g.initial) for n, g in first.optimizer.groups.items()
    }
    run.fit((X, Y), **DATA | options, **saved)  # the same trainer knows


def test_before_the_first_fit_nothing_is_cut(tmp_path):
    trainer().save(tmp_path / "run.safetensors")
    trainer().fit((X, Y), **DATA, resume=tmp_path / "run.safetensors")


def test_a_finished_call_that_had_other_options(tmp_path):
    def script(seed):
        run = trainer(schedule=None, seed=seed)
        for _ in range(2):
            run.fit((X, Y), epochs=1, **DATA, checkpoint=tmp_path, resume="auto")

    script(0)
    with pytest.warns(UserWarning, match="the Trainer's seed was 0, now 1") as told:
        script(1)
    assert len(told) == 1
    script(None)  # any will do


class Batches:
    """An iterable of batches that begins anew."""

    def __iter__(self):
        return iter([(X[:8], Y[:8])] * 6)


@pytest.mark.usefixtures("pythons_handler")
def test_an_epoch_that_goes_on_in_another_iterable(tmp_path):
    options = {"progress": False, "checkpoint": tmp_path, "resume": "auto"}
    for data, folder in ((Batches(), "a"), (list(Batches()), "b")):
        options["checkpoint"] = tmp_path / folder
        trainer(schedule=None, callbacks=[StopAt(2)]).fit(data, **options)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            trainer(schedule=None).fit(data, **options)
        found = [str(w.message) for w in told]
        assert len(found) == (folder == "a")
        assert all("goes on with batch 2 of Batches: right only if" in text for text in found)


def test_more_epochs_than_before_go_on(tmp_path):
    first, longer = trainer(schedule=None), trainer(1, schedule=None)
    first.fit((X, Y), epochs=5, **DATA)
    trainer(schedule=None).fit((X, Y), epochs=2, **DATA, checkpoint=tmp_path)
    longer.fit((X, Y), epochs=4, **DATA, checkpoint=tmp_path, resume="auto")
    assert longer.history["loss"] == first.history["loss"][:4]
    again = trainer(2, schedule=None)
    again.fit((X, Y), epochs=5, **DATA, resume=tmp_path / "step-00000016.safetensors")
    assert again.history["loss"] == first.history["loss"]
    again.fit((X, Y), epochs=1, **DATA)  # without resume, one more
    assert len(again.history) == 6


def test_saved_on_one_backend_loaded_on_another(tmp_path, library):
    pn.set_backend("numpy")
    first = trainer()
    first.fit((X, Y), epochs=2, **DATA)
    first.save(tmp_path / "run.safetensors")
    with pn.use_backend(library.name):
        there = trainer(1)
        loaded = pn.Trainer.load(
            tmp_path / "run.safetensors",
            there.model,
            there.loss,
            there.optimizer,
            schedule=optim.OneCycleLR(max_lr=0.01),
        )
        assert loaded.model.backend.name == library.name
        assert comparable(loaded) == comparable(first)
        loaded.save(tmp_path / "back.safetensors")
        loaded.fit((X, Y), epochs=1, **DATA)
    back = trainer(2)
    back.load_state_dict(read_run(tmp_path / "back.safetensors"))
    assert comparable(back) == comparable(first)
    first.fit((X, Y), epochs=1, **DATA)
    np.testing.assert_allclose(loaded.history["loss"], first.history["loss"], rtol=1e-4)


# --- the folder -----------------------------------------------------------------------------------


def names(folder):
    """Return the names of the files there, but for the one that the lock is of."""
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


def test_the_last_and_the_best_are_kept(tmp_path):
    run = trainer(monitor="val_loss")
    folder = tmp_path / "run"
    run.fit((X, Y), epochs=6, **DATA, checkpoint=pn.Checkpoints(folder, keep=2))
    assert names(folder) == [
        "best.safetensors",
        "step-00000040.safetensors",
        "step-00000048.safetensors",
    ]
    best = trainer(1)
    pn.load_weights(best.model, folder / "best.safetensors")
    for name, array in run.best.weights.items():
        np.testing.assert_array_equal(best.model.state_dict()[name], array)
    assert read_run(folder / "best.safetensors")["best"]["epoch"] == run.best.epoch


def test_where_links_cannot_be_made_the_best_is_copied(tmp_path, monkeypatch):
    def refuse(*args):
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    run = trainer()
    run.fit((X, Y), epochs=1, **DATA, checkpoint=tmp_path)
    assert_best(run, tmp_path)


def assert_best(run, folder):
    model = trainer(1).model
    pn.load_weights(model, folder / "best.safetensors")
    for name, array in run.best.weights.items():
        np.testing.assert_array_equal(model.state_dict()[name], array, err_msg=name)


def test_the_best_is_the_best_whatever_comes_after_its_epoch(tmp_path):
    stopping = pn.EarlyStopping(patience=9, min_delta=0.5, restore_best_weights=True)
    run = trainer(callbacks=[stopping])
    run.fit((X, Y), epochs=4, **DATA, checkpoint=tmp_path)
    assert run.best.epoch == 3
    assert_best(run, tmp_path)
    again = trainer(2, callbacks=[stopping])
    again.fit((X, Y), epochs=4, **DATA, checkpoint=tmp_path, resume="auto")  # nothing is left
    assert_best(run, tmp_path)
    run.model.params["a.bias"] = np.ones(8)
    run.fit((X, Y), steps=1, **DATA, checkpoint=tmp_path)
    assert_best(run, tmp_path)


def test_a_run_that_was_killed_before_it_named_its_best(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(module, "_link", lambda path, name: None)
        patch.setattr(pn.train.run.Run, "_finish", lambda self: None)
        trainer().fit((X, Y), epochs=4, **DATA, checkpoint=tmp_path)
    assert "best.safetensors" not in names(tmp_path)
    run = trainer(1)
    run.fit((X, Y), epochs=4, **DATA, checkpoint=tmp_path, resume="auto")
    assert run.best.epoch == 3
    assert_best(run, tmp_path)


def test_a_file_that_another_process_has_deleted_is_gone(tmp_path, monkeypatch):
    files = pn.Checkpoints.files

    def deleted(self):
        found = files(self)
        for path in [*found.values()][1:]:
            path.unlink()
        return found

    monkeypatch.setattr(pn.Checkpoints, "files", deleted)
    trainer().fit((X, Y), epochs=3, **DATA, checkpoint=pn.Checkpoints(tmp_path, keep=1))
    assert names(tmp_path) == ["best.safetensors", "step-00000024.safetensors"]


def test_what_another_process_reads_is_deleted_later(tmp_path, monkeypatch):
    """As Windows deletes no file that somebody has open, such as a program that evaluates it."""
    unlink, read = Path.unlink, {0, 8}

    def refuse(path, missing_ok=False):
        if any(path.name == f"step-{step:08d}.safetensors" for step in read):
            raise PermissionError(errno.EACCES, "used by another process", str(path))
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    run, one = trainer(schedule=None), pn.Checkpoints(tmp_path, keep=1)
    run.fit((X, Y), epochs=2, **DATA, checkpoint=one)
    steps = [f"step-{step:08d}.safetensors" for step in (0, 8, 16, 24)]
    assert names(tmp_path) == ["best.safetensors", *steps[:3]]
    read.clear()
    run.fit((X, Y), epochs=1, **DATA, checkpoint=one)
    assert names(tmp_path) == ["best.safetensors", "call-1.safetensors", steps[3]]


@pytest.mark.parametrize("links", [True, False])
def test_no_second_name_leaves_anything_behind(tmp_path, monkeypatch, links):
    def refuse(*args):
        raise OSError(errno.EPERM, "no links here")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    run, checkpoints = trainer(schedule=None), pn.Checkpoints(tmp_path)
    run.fit((X, Y), epochs=1, **DATA, checkpoint=checkpoints)
    before = names(tmp_path)
    for _ in range(2):  # the second time both names are of one file
        checkpoints.keep_end()
        assert names(tmp_path) == sorted([*before, "call-1.safetensors"])


def test_a_disk_that_is_full_when_the_best_is_copied(tmp_path, monkeypatch):
    def refuse(*args):
        raise OSError(errno.EPERM, "no links here")

    def half(source, target):
        target.write(source.read(1000))
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr("shutil.copyfileobj", half)
    with pytest.raises(OSError, match=r"No space left on device: .*best"):
        trainer().fit((X, Y), epochs=1, **DATA, checkpoint=tmp_path)
    assert names(tmp_path) == ["step-00000000.safetensors", "step-00000008.safetensors"]


def test_what_is_not_of_this_run_is_not_cleared_away(tmp_path):
    left = [".step-00000005.safetensors.0a1b2c3d.tmp", ".best.safetensors.link.tmp"]
    left += [".call-1.safetensors.0a1b2c3d.tmp"]
    others = [".weights.safetensors.0a1b2c3d.tmp", "step-1.tmp", "mine.tmp"]
    for name in left + others:
        (tmp_path / name).touch()
    trainer().fit((X, Y), epochs=1, **DATA, checkpoint=tmp_path)
    assert not set(left) & set(names(tmp_path))
    assert set(others) < set(names(tmp_path))


def test_a_folder_that_is_deleted_meanwhile_is_made_again(tmp_path):
    class Delete(pn.Callback):
        def on_epoch_begin(self, trainer, epoch):
            for path in (tmp_path / "run").iterdir():
                path.unlink()
            (tmp_path / "run").rmdir()

    trainer(callbacks=[Delete()]).fit((X, Y), epochs=2, **DATA, checkpoint=tmp_path / "run")
    assert names(tmp_path / "run") == ["best.safetensors", "step-00000016.safetensors"]


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "run.npz").touch()
    with pytest.raises(NotADirectoryError, match=r"run\.npz is a file; a run is saved in a folder"):
        trainer().fit((X, Y), **DATA, checkpoint=tmp_path / "run.npz")


def test_the_home_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    run = trainer()
    run.fit((X, Y), **DATA, checkpoint="~/run")
    run.save("~/run.safetensors")
    pn.save_weights(run.model, "~/weights.npz")
    assert names(tmp_path) == ["run", "run.safetensors", "weights.npz"]
    run.fit((X, Y), **DATA, resume="~/run.safetensors")


def test_saving_every_few_steps(tmp_path):
    trainer().fit((X, Y), epochs=2, **DATA, checkpoint=pn.Checkpoints(tmp_path, keep=9, steps=5))
    steps = [int(name[5:13]) for name in names(tmp_path) if name.startswith("step")]
    assert steps == [0, 5, 8, 10, 15, 16]


def test_a_damaged_file_is_passed_over_with_a_warning(tmp_path):
    whole, last = trainer(), trainer(1)
    whole.fit((X, Y), epochs=3, **DATA, checkpoint=tmp_path)
    newest, before, _ = sorted(tmp_path.glob("step-*"), reverse=True)
    damaged = bytearray(newest.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    newest.write_bytes(damaged)
    before.write_bytes(before.read_bytes()[:-100])
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        last.fit((X, Y), epochs=3, **DATA, checkpoint=tmp_path, resume="auto")
    assert [str(w.message).split(": ")[0] for w in told] == [str(newest), str(before)]
    assert {w.filename for w in told} == {__file__}
    assert "damaged" in str(told[0].message)
    assert comparable(last) == comparable(whole)
    (tmp_path / "damaged.safetensors").write_bytes(damaged)
    with pytest.raises(pn.CheckpointError, match=r"damaged\.safetensors"):
        pn.Trainer.load(tmp_path / "damaged.safetensors", last.model, last.loss, last.optimizer)


def test_with_every_file_damaged_nothing_is_begun(tmp_path):
    trainer().fit((X, Y), epochs=1, **DATA, checkpoint=tmp_path)
    files = sorted(tmp_path.glob("step-*"))
    for path in files:
        path.write_bytes(b"")
    with (
        pytest.warns(UserWarning, match="not a readable"),
        pytest.raises(
            pn.CheckpointError,
            match=r"none of 2 checkpoints can be read; but .*best\.safetensors can: .* resume",
        ),
    ):
        trainer().fit((X, Y), epochs=1, **DATA, checkpoint=tmp_path, resume="auto")
    assert [path.stat().st_size for path in files] == [0, 0]
    (tmp_path / "best.safetensors").unlink()
    with (
        pytest.warns(UserWarning, match="not a readable"),
        pytest.raises(pn.CheckpointError, match=r"none of 2 checkpoints can be read$"),
    ):
        trainer().fit((X, Y), epochs=1, **DATA, checkpoint=tmp_path, resume="auto")


def test_a_damaged_later_file_does_not_crowd_out_the_good_ones(tmp_path):
    run = trainer()
    run.fit((X, Y), epochs=1, **DATA, checkpoint=tmp_path)
    (tmp_path / "step-00000099.safetensors").write_bytes(b"")
    one = pn.Checkpoints(tmp_path, keep=1)
    with pytest.warns(UserWarning, match="step-00000099"):
        trainer().fit((X, Y), epochs=2, **DATA, checkpoint=one, resume="auto")
    assert {"step-00000016.safetensors", "step-00000099.safetensors"} <= set(names(tmp_path))


def test_another_runs_folder_is_not_written_into(tmp_path):
    trainer().fit((X, Y), epochs=1, **DATA, checkpoint=tmp_path)
    before = names(tmp_path)
    with pytest.raises(ValueError, match="holds checkpoints of an earlier run: resume='auto'"):
        trainer().fit((X, Y), epochs=1, **DATA, checkpoint=tmp_path)
    first = tmp_path / "step-00000000.safetensors"
    with pytest.raises(ValueError, match=r"holds checkpoints later than .*step-00000000"):
        trainer().fit((X, Y), epochs=1, **DATA, checkpoint=tmp_path, resume=first)
    assert names(tmp_path) == before


def test_a_named_file_is_gone_on_from_in_a_new_folder_or_where_it_is_the_last(tmp_path):
    first, whole = trainer(schedule=None), trainer(schedule=None)
    first.fit((X, Y), epochs=2, **DATA, checkpoint=tmp_path / "old")
    whole.fit((X, Y), epochs=3, **DATA)
    for folder, step in (("new", 0), ("newer", 16), ("old", 16)):
        saved = tmp_path / "old" / f"step-{step:08d}.safetensors"
        run = trainer(1, schedule=None)
        run.fit((X, Y), epochs=3, **DATA, checkpoint=tmp_path / folder, resume=saved)
        assert comparable(run) == comparable(whole)
        assert "step-00000024.safetensors" in names(tmp_path / folder)


@pytest.mark.parametrize(
    ("resume", "checkpoint", "error", "message"),
    [
        ("auto", None, ValueError, "resume='auto' needs checkpoint=FOLDER"),
        ("nowhere.safetensors", None, FileNotFoundError, "there is no checkpoint nowhere"),
        (None, "no/such/folder", FileNotFoundError, "no/such"),
    ],
)
def test_where_nothing_can_be_read_or_written(
    tmp_path, monkeypatch, resume, checkpoint, error, message
):
    monkeypatch.chdir(tmp_path)
    run = trainer()
    before = comparable(run)
    with pytest.raises(error, match=message):
        run.fit((X, Y), epochs=1, **DATA, checkpoint=checkpoint, resume=resume)
    assert run.step == 0
    assert comparable(run)[1] == before[1]


@pytest.mark.usefixtures("pythons_handler")
def test_other_data_in_the_middle_of_an_epoch(tmp_path):
    trainer(callbacks=[StopAt(3)]).fit((X, Y), epochs=2, **DATA, checkpoint=tmp_path)
    other = DATA | {"batch_size": 10}
    with pytest.raises(
        ValueError, match=r"\{'batch_size': 8\}; it cannot go on with \{'batch_size': 10\}"
    ):
        trainer().fit((X, Y), epochs=2, **other, checkpoint=tmp_path, resume="auto")


# --- what cannot be saved or loaded ---------------------------------------------------------------


def test_a_full_disk_leaves_the_older_files_and_the_run(tmp_path, monkeypatch):
    run = trainer(schedule=None)
    writes = []

    def fill_up(handle):
        writes.append(handle)
        if len(writes) == 6:  # of a file and its folder, twice, and when the best had its name
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fill_up)
    with pytest.raises(OSError, match=r"No space left on device.*step-00000016") as caught:
        run.fit((X, Y), epochs=3, **DATA, checkpoint=tmp_path)
    assert caught.value.errno == errno.ENOSPC
    assert [n for n in names(tmp_path) if "best" not in n] == [
        "step-00000000.safetensors",
        "step-00000008.safetensors",
    ]
    assert run.step == 16
    run.fit((X, Y), epochs=1, **DATA)
    whole = trainer(schedule=None)
    whole.fit((X, Y), epochs=3, **DATA)
    assert run.history["loss"] == whole.history["loss"]


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch, number):
    opened = Path.open

    def refuse(path, mode="r", *args, **kwargs):
        if "x" in mode:
            raise OSError(number, os.strerror(number), str(path))
        return opened(path, mode, *args, **kwargs)

    run = trainer()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuse)
        with pytest.raises(
            OSError, match=rf"{os.strerror(number)}.*step-00000000\.safetensors"
        ) as told:
            run.fit((X, Y), epochs=1, **DATA, checkpoint=tmp_path)
    assert told.value.errno == number
    assert run.step == 0
    assert names(tmp_path) == []
    run.fit((X, Y), epochs=1, **DATA, checkpoint=tmp_path)
    assert run.step == 8


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda: trainer(make=optim.SGD), "another optimizer Adam, not SGD$"),
        (lambda: trainer(schedule=None), "has another schedule OneCycleLR, not None$"),
    ],
)
def test_another_kind_of_run_is_refused(tmp_path, other, message):
    first = trainer(callbacks=[Counting()])
    first.fit((X, Y), epochs=1, **DATA)
    run = other()
    before = comparable(run)
    with pytest.raises(ValueError, match=message):
        run.load_state_dict(first.state_dict())
    assert comparable(run) == before


@pytest.mark.usefixtures("pythons_handler")
def test_a_folder_of_another_run_is_a_checkpoint_that_does_not_fit(tmp_path):
    options = DATA | {"checkpoint": tmp_path, "resume": "auto"}
    trainer(callbacks=[StopAt(3)]).fit((X, Y), **options)
    with pytest.raises(pn.CheckpointError, match="another optimizer Adam, not SGD"):
        trainer(make=optim.SGD).fit((X, Y), **options)
    with pytest.raises(pn.CheckpointError, match="cannot go on with"):
        trainer().fit((X, Y), **options | {"batch_size": 10})


def test_what_does_not_fit_changes_nothing():
    first = trainer(callbacks=[Counting()])
    first.fit((X, Y), epochs=1, **DATA)
    run = trainer(3)
    before = comparable(run)
    with pytest.raises(ValueError, match="has a callback Counting, which is missing here"):
        run.load_state_dict(first.state_dict())  # found when model and optimizer are in place
    assert comparable(run) == before
    model = nn.Sequential(nn.Linear(5, 3))
    other = pn.Trainer(
        model, nn.CrossEntropyLoss(), optim.Adam(model), schedule=optim.OneCycleLR(max_lr=0.01)
    )
    with pytest.raises(ValueError, match=r"missing '0\.weight'"):
        other.load_state_dict(first.state_dict() | {"callbacks": []})


def test_a_callback_that_refuses_its_state_changes_nothing():
    class Choosy(Counting):
        def load_state_dict(self, state):
            if state["seen"] != self.seen:
                raise ValueError("not mine")

    first = trainer(callbacks=[Counting(), Choosy()])
    first.fit((X, Y), epochs=1, **DATA)
    run = trainer(3, callbacks=[Counting(), Choosy()])
    before = comparable(run)
    with pytest.raises(ValueError, match="not mine"):
        run.load_state_dict(first.state_dict())
    assert comparable(run) == before


def test_weights_are_not_a_run_and_a_run_holds_weights(tmp_path):
    run = trainer()
    pn.save_weights(run.model, tmp_path / "w.safetensors")
    with pytest.raises(pn.CheckpointError, match="holds weights alone"):
        read_run(tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=r"a run is written as \.safetensors"):
        run.save(tmp_path / "run.npz")
    assert names(tmp_path) == ["w.safetensors"]


def test_a_newer_file_is_refused_with_the_version_it_needs(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "SCHEMA", 2)
    monkeypatch.setattr(storage, "NEEDS", "0.9.0")
    trainer().save(tmp_path / "new.safetensors")
    monkeypatch.undo()
    with pytest.raises(pn.CheckpointError, match=r"newer portanet: it needs 0\.9\.0 or later"):
        read_run(tmp_path / "new.safetensors")


def test_a_file_says_what_wrote_it(tmp_path):
    trainer().save(tmp_path / "run.safetensors")
    with safe_open(tmp_path / "run.safetensors", framework="np") as file:
        words = file.metadata()
        assert {"model.a.weight", "model.norm.running_mean"} < set(file.keys())
    assert words["portanet"] == pn.__version__
    assert (words["schema"], words["backend"], words["dtype"]) == ("1", "numpy", "float32")
    assert words["created"].endswith("+00:00")
    assert json.loads(words["state"])["step"] == 0


@pytest.mark.parametrize("position", np.linspace(0.0, 0.999, 40))
def test_no_flipped_bit_goes_unseen(tmp_path, position):
    run = trainer()
    run.save(tmp_path / "run.safetensors")
    whole = bytearray((tmp_path / "run.safetensors").read_bytes())
    whole[int(position * len(whole))] ^= 0b100
    (tmp_path / "run.safetensors").write_bytes(whole)
    with pytest.raises(pn.CheckpointError, match=r"run\.safetensors"):
        read_run(tmp_path / "run.safetensors")


# --- states as text and arrays --------------------------------------------------------------------

STATES = [
    None,
    {"a": [1, 2.5, "x", None, True, []], "": {}},
    {"betas": (0.9, 0.999), "nested": ((1,), [(2.0,)])},
    [0.1, float("inf"), -0.0, 1e-320],
    {"x": {"y": [{"z": (1.0, [2.0, 3.0])}]}},
]


@pytest.mark.parametrize("state", STATES, ids=str)
def test_states_come_back_as_they_were(state):
    text, arrays = pack(state)
    assert repr(unpack(text, arrays)) == repr(state)


def test_arrays_in_a_state_come_back_by_name():
    text, arrays = pack({"a": {"b": np.arange(3)}, "n": float("nan")})
    assert list(arrays) == ["a.b"]
    back = unpack(text, arrays)
    np.testing.assert_array_equal(back["a"]["b"], np.arange(3))
    assert back["n"] != back["n"]


@pytest.mark.parametrize(
    ("scalar", "number"),
    [
        (np.float64(0.1), 0.1),
        (np.float32(0.1), float(np.float32(0.1))),
        (np.int64(-3), -3),
        (np.uint8(3), 3),
        (np.True_, True),
    ],
)
def test_scalars_come_back_as_numbers(scalar, number):
    back = unpack(*pack({"a": scalar, "b": [scalar, 1]}))
    assert repr(back) == repr({"a": number, "b": [number, 1]})


@pytest.mark.parametrize(
    ("state", "where"),
    [
        ({"a": np.datetime64("2020-01-01")}, "'a': cannot be saved: date"),
        ({"a": [1, {2, 3}]}, r"'a\.1': cannot be saved: set"),
        ({"a": {3: 1}}, r"'a': the keys must be names, got \[3\]"),
        ({"__array__": 1}, r"'': the keys must be names"),
        ({"f": max}, r"'f': cannot be saved: builtin_function"),
    ],
)
def test_what_cannot_be_saved_is_named(state, where):
    with pytest.raises(TypeError, match=where):
        pack(state)


def test_a_callback_that_cannot_be_saved_is_told_before_training(tmp_path):
    class Odd(pn.Callback):
        def state_dict(self):
            return {"what": object()}

    run = trainer(callbacks=[Odd()])
    with pytest.raises(TypeError, match=r"callbacks\.0\.state\.what"):
        run.fit((X, Y), epochs=1, **DATA, checkpoint=tmp_path)
    assert run.step == 0


# --- what a review found --------------------------------------------------------------------------


class Failing(pn.Callback):
    """Fails after a step, once."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, trainer, step):
        if step == self.step:
            raise RuntimeError("a callback's fault")


def test_after_a_failure_the_steps_of_the_history_are_all_there():
    run = trainer(callbacks=[Failing(5)], schedule=None)
    with pytest.raises(RuntimeError, match="a callback's fault"):
        run.fit((X, Y), epochs=2, **DATA)
    run.fit((X, Y), epochs=2, **DATA)
    assert run.step == 21
    assert len(run.history.steps["loss"]) == len(run.history.steps["lr"]) == 21


def test_a_state_is_a_copy():
    run = trainer(schedule=None)
    run.fit((X, Y), epochs=1, **DATA)
    state, before = run.state_dict(), comparable(run)
    run.fit((X, Y), epochs=2, **DATA)
    run.load_state_dict(state)
    assert comparable(run) == before


@pytest.mark.usefixtures("pythons_handler")
def test_a_state_between_epochs_ends_the_epoch_in_hand():
    first, run = trainer(), trainer(1, callbacks=[StopAt(3)])
    for each in (first, run):
        each.fit((X, Y), epochs=1, **DATA)
    assert run.history.interrupted
    run.callbacks.clear()
    run.load_state_dict(first.state_dict())
    assert comparable(run) == comparable(first)


def test_a_full_disk_at_the_very_end_and_the_same_call_again(tmp_path, monkeypatch):
    run, write = trainer(), pn.Checkpoints.write

    def fail(self, trainer, best):
        if not trainer._run.running:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, trainer, best)

    with monkeypatch.context() as patch:
        patch.setattr(pn.Checkpoints, "write", fail)
        with pytest.raises(OSError, match="No space"):
            run.fit((X, Y), epochs=2, **DATA, checkpoint=tmp_path, resume="auto")
    run.fit((X, Y), epochs=2, **DATA, checkpoint=tmp_path, resume="auto")
    assert len(run.history) == 2


class Averaging(pn.Callback):
    """Makes its state when a fit begins."""

    def on_fit_begin(self, trainer):
        self.mean = np.zeros(3)

    def on_epoch_end(self, trainer, epoch, logs):
        self.mean = 0.5 * self.mean + epoch + 1

    def state_dict(self):
        return {"mean": self.mean}

    def load_state_dict(self, state):
        self.mean = state["mean"]


@pytest.mark.usefixtures("pythons_handler")
def test_callbacks_of_one_class_and_such_as_make_their_state_late(tmp_path):
    def callbacks(*stops):
        return [pn.Callback(), Counting(), Averaging(), StopAt(*stops), Counting()]

    trainer(callbacks=callbacks(20)).fit((X, Y), epochs=4, **DATA, checkpoint=tmp_path)
    last = trainer(callbacks=callbacks())
    last.fit((X, Y), epochs=4, **DATA, checkpoint=tmp_path, resume="auto")
    assert last.callbacks[1].seen == last.callbacks[4].seen == 4
    np.testing.assert_array_equal(last.callbacks[2].mean, np.full(3, 6.125))


@pytest.mark.usefixtures("pythons_handler")
def test_fits_between_which_schedule_and_callbacks_change(tmp_path):
    def script(folder, stop=None):
        run = trainer(callbacks=[StopAt(stop)])
        saved = {"checkpoint": folder, "resume": "auto"} if folder else {}
        run.fit((X, Y), epochs=2, **DATA, **saved)
        run.schedule = None
        run.callbacks.append(pn.EarlyStopping(patience=9))
        run.fit((X, Y), epochs=2, **DATA, **saved)
        return run

    whole = comparable(script(None))
    script(tmp_path, stop=21)
    assert comparable(script(tmp_path)) == whole


@pytest.mark.usefixtures("pythons_handler")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_validation_does_not_wait_for_its_end(tmp_path, monkeypatch, number):
    whole, seen = trainer(), []
    whole.fit((X, Y), epochs=3, **DATA)
    vjp = nn.BatchNorm1d.vjp

    def interrupting(self, x, ctx):
        if not ctx.training and ctx.needs_input_grad is False and len(x) == 20:
            seen.append(len(seen))
            if len(seen) == 3:
                signal.raise_signal(number)
        return vjp(self, x, ctx)

    with monkeypatch.context() as patch:
        patch.setattr(nn.BatchNorm1d, "vjp", interrupting)
        run = trainer()
        history = run.fit((X, Y), epochs=3, **DATA, checkpoint=tmp_path)
    assert history.interrupted == number
    assert len(history) == len(seen) - 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    last = trainer(5)
    last.fit((X, Y), epochs=3, **DATA, checkpoint=tmp_path, resume="auto")
    assert comparable(last) == comparable(whole)


@pytest.mark.usefixtures("pythons_handler")
def test_a_signal_when_all_is_done_does_not_end_the_process(tmp_path):
    class Late(pn.Callback):
        def on_fit_end(self, trainer):
            signal.raise_signal(signal.SIGTERM)

    run = trainer(callbacks=[Late()])
    run.fit((X, Y), epochs=1, **DATA, checkpoint=tmp_path)
    assert read_run(tmp_path / "step-00000008.safetensors")["calls"] == 1


def test_a_program_that_changes_its_folder(tmp_path, monkeypatch):
    class Going(pn.Callback):
        def on_epoch_end(self, trainer, epoch, logs):
            os.chdir(tmp_path / "elsewhere")

    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    trainer(callbacks=[Going()]).fit((X, Y), epochs=2, **DATA, checkpoint="run")
    assert len(names(tmp_path / "run")) == 4
    assert names(tmp_path / "elsewhere") == []


def test_a_folder_that_cannot_be_synced_is_no_failure(tmp_path, monkeypatch):
    fsync = os.fsync

    def refuse(handle):
        if os.path.isdir(f"/proc/self/fd/{handle}"):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", refuse)
    trainer().save(tmp_path / "run.safetensors")
    assert names(tmp_path) == ["run.safetensors"]


@pytest.mark.usefixtures("pythons_handler")
def test_the_best_epoch_is_counted_in_the_history():
    run = trainer(callbacks=[StopAt(3)])
    run.fit((X, Y), epochs=1, **DATA)
    run.callbacks = []
    run.fit((X, Y), epochs=3, **DATA)
    assert run.best.value == run.history["val_loss"][run.best.epoch]


@pytest.mark.usefixtures("pythons_handler")
@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"metrics": []}, r"'metrics': \['accuracy'\].*cannot go on with .*'metrics': \[\]"),
        ({"on_nan": "skip"}, r"'on_nan': 'raise'.*cannot go on with .*'on_nan': 'skip'"),
        ({"monitor": "val_accuracy"}, "another monitor val_loss, not val_accuracy"),
    ],
)
def test_other_ways_to_watch_in_the_middle_of_an_epoch(tmp_path, other, message):
    trainer(callbacks=[StopAt(3)]).fit((X, Y), epochs=2, **DATA, checkpoint=tmp_path)
    with pytest.raises(ValueError, match=message):
        trainer(**other).fit((X, Y), epochs=2, **DATA, checkpoint=tmp_path, resume="auto")


@pytest.mark.parametrize("state", [{"a.b": np.zeros(2), "a": {"b": np.ones(2)}}])
def test_names_that_would_collide_are_refused(state):
    with pytest.raises(TypeError, match=r"'a\.b': two arrays have this name"):
        pack(state)


def test_messages_of_resume(tmp_path):
    trainer().fit((X, Y), epochs=1, **DATA, checkpoint=tmp_path)
    with pytest.raises(IsADirectoryError, match="is a folder: fit"):
        trainer().fit((X, Y), epochs=1, **DATA, resume=tmp_path)
    with pytest.raises(TypeError, match="resume must be a str or a Path, got True"):
        trainer().fit((X, Y), epochs=1, **DATA, resume=True)


def test_a_finished_run_says_so(tmp_path, capsys):
    for _ in range(2):
        trainer().fit(
            (X, Y), epochs=1, **DATA | {"progress": True}, checkpoint=tmp_path, resume="auto"
        )
    assert capsys.readouterr().out.splitlines()[-1].startswith("this run is finished")


@pytest.mark.usefixtures("pythons_handler")
def test_an_iterator_does_not_go_on_where_it_was_left(tmp_path):
    batches = [(X[:8], Y[:8])] * 6
    options = {"progress": False, "checkpoint": tmp_path}
    trainer(schedule=None, callbacks=[StopAt(2)]).fit(iter(batches), **options)
    with pytest.raises(ValueError, match="an iterator does not begin again"):
        trainer(schedule=None).fit(iter(batches), **options, resume="auto")
