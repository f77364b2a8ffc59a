"""CSVLogger: a file that holds what the history holds, however the run came there."""

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import portanet as pn
from portanet import nn, optim

X, Y = np.linspace(-1.0, 1.0, 24).reshape(12, 2), np.arange(12.0)[:, None]


def make(path: Path, *others: pn.Callback, **options: Any) -> pn.Trainer:
    model = nn.Sequential(nn.Linear(2, 1)).initialize(0)
    callbacks = [pn.CSVLogger(path), *others]
    return pn.Trainer(model, nn.MSELoss(), optim.Adam(model), callbacks=callbacks, **options)


def fit(run: pn.Trainer, epochs: int = 4, **options: Any) -> pn.History:
    return run.fit((X, Y), epochs=epochs, batch_size=4, progress=False, **options)


def read(path: Path) -> list[dict[str, float]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [{name: float(v) for name, v in row.items()} for row in csv.DictReader(file)]


def assert_holds(path: Path, history: pn.History) -> None:
    """Assert that a file holds a history, to the last bit."""
    rows = read(path)
    assert [row.pop("epoch") for row in rows] == list(range(len(history)))
    for epoch, row in enumerate(rows):
        assert list(row) == list(history)
        for name, value in row.items():
            assert value == history[name][epoch] or math.isnan(value + history[name][epoch])


class Kill(pn.Callback):
    """Ends the program, so to say: at a step, or in a hook of an epoch."""

    def __init__(self, step: int | None = None, epoch: int | None = None) -> None:
        self.step, self.epoch = step, epoch

    def on_step_end(self, trainer: pn.Trainer, step: int) -> None:
        if step == self.step:
            raise SystemExit("killed")

    def on_epoch_end(self, trainer: pn.Trainer, epoch: int, logs: dict[str, float]) -> None:
        if epoch == self.epoch:
            raise SystemExit("killed")


class Look(pn.Callback):
    """Looks at the file in each step."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_step_end(self, trainer: pn.Trainer, step: int) -> None:
        assert_holds(self.path, trainer.history)


class Late(pn.Callback):
    """Adds a number from its second epoch on."""

    def on_epoch_end(self, trainer: pn.Trainer, epoch: int, logs: dict[str, float]) -> None:
        if epoch:
            logs["late, and odd"] = math.inf if epoch == 2 else epoch / 3


def test_a_line_for_each_epoch(tmp_path: Path) -> None:
    path = tmp_path / "run.csv"
    run = make(path)
    history = fit(run, validation_data=(X, Y))
    assert_holds(path, history)
    lines = path.read_bytes().decode().split("\n")
    assert lines[0] == "epoch,loss,lr,seconds,samples_per_second,val_loss"
    assert len(lines) == 1 + 4 + 1
    assert lines[-1] == ""
    assert lines[2].startswith(f"1,{history['loss'][1]!r},0.001,")
    assert lines[2].endswith(f",{history['val_loss'][1]!r}")
    fit(run, epochs=2, validation_data=(X, Y))
    assert_holds(path, run.history)
    assert len(run.history) == 6


def test_a_line_is_there_when_the_next_epoch_begins(tmp_path: Path) -> None:
    class Begin(Look):
        def on_epoch_begin(self, trainer: pn.Trainer, epoch: int) -> None:
            assert len(read(path)) == epoch

    path = tmp_path / "run.csv"
    fit(make(path, Late(), Begin(path)))


def test_only_what_is_new_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr("portanet.train.csv_logger.write_whole", lambda p, w: written.append(p))
    (path := tmp_path / "run.csv").touch()
    fit(make(path), epochs=8)
    assert written == [path, path]  # without, and with, a first line
    assert [line.split(",")[0] for line in path.read_text().split()] == list("1234567")


def test_quantities_that_appear_later_and_what_is_not_finite(tmp_path: Path) -> None:
    path = tmp_path / "run.csv"
    history = fit(make(path, Late()))
    assert_holds(path, history)
    rows = read(path)
    assert math.isnan(rows[0]["late, and odd"])
    assert [row["late, and odd"] for row in rows[1:]] == [1 / 3, math.inf, 1.0]


@pytest.mark.parametrize("kill", [{"step": 1}, {"step": 5}, {"step": 9}, {"epoch": 1}])
def test_a_run_that_was_killed_has_each_line_once(tmp_path: Path, kill: dict[str, int]) -> None:
    path, folder = tmp_path / "run.csv", tmp_path / "run"
    saved = {"checkpoint": pn.Checkpoints(folder, steps=2), "resume": "auto"}
    with pytest.raises(SystemExit, match="killed"):
        fit(make(path, Late(), Kill(**kill)), **saved)
    with path.open("a") as file:  # what the checkpoint knows nothing of, and half a line
        file.write("2,1.0,1.0,1.0,1.0\n3,0.")
    run = make(path, Late(), Kill(), Look(path))
    fit(run, **saved)
    assert_holds(path, run.history)
    whole = fit(make(tmp_path / "whole.csv", Late()))
    assert list(run.history) == list(whole)
    for quantity in set(whole) - {"seconds", "samples_per_second"}:
        lines = ([row[quantity] for row in read(p)] for p in (path, tmp_path / "whole.csv"))
        np.testing.assert_array_equal(*lines, err_msg=quantity)


def test_a_line_that_was_never_written_is_not_lost(tmp_path: Path) -> None:
    path, saved = tmp_path / "run.csv", {"checkpoint": tmp_path / "run", "resume": "auto"}
    with pytest.raises(SystemExit, match="killed"):
        fit(make(path, Kill(step=9)), **saved)
    path.unlink()
    run = make(path)
    fit(run, **saved)
    assert_holds(path, run.history)


def test_a_run_that_goes_back_to_an_earlier_state(tmp_path: Path) -> None:
    class Back(pn.Callback):
        state: dict[str, Any] | None = None

        def on_epoch_end(self, trainer: pn.Trainer, epoch: int, logs: dict[str, float]) -> None:
            if epoch == 0 and self.state is None:
                self.state = trainer.state_dict()

        def on_epoch_begin(self, trainer: pn.Trainer, epoch: int) -> None:
            if epoch == 2 and self.state is not None:
                trainer.history.load_state_dict(self.state["history"])
                self.state = None

    path = tmp_path / "run.csv"
    run = make(path, Back())
    fit(run)
    assert len(run.history) < 4
    assert_holds(path, run.history)


def test_another_run_takes_the_files_place(tmp_path: Path) -> None:
    path = tmp_path / "run.csv"
    fit(make(path, Late()))
    run = make(path)
    fit(run, epochs=1)
    assert_holds(path, run.history)


def test_a_file_that_cannot_be_written_is_told_before_anything_is_trained(tmp_path: Path) -> None:
    run = make(tmp_path / "missing" / "run.csv")
    with pytest.raises(FileNotFoundError, match=r"run\.csv"):
        fit(run)
    assert run.step == 0


def test_where_the_program_goes_meanwhile_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = make(Path("run.csv"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    fit(run)
    assert_holds(tmp_path / "run.csv", run.history)
