"""What a run shows: a bar of steps on a terminal, a line for each epoch, and no error."""

import io
import signal
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import portanet as pn
from portanet import nn, optim

X, Y = np.ones((10, 2), "f4"), np.zeros((10, 1), "f4")  # 3 batches of 4


class Terminal(io.StringIO):
    """A stderr that a bar can be shown on."""

    def isatty(self) -> bool:
        return True


class Bar:
    """A bar as tqdm makes it, which remembers what it was told."""

    def __init__(self, **options: Any) -> None:
        self.options, self.steps, self.closed = options, 0, False

    def update(self) -> None:
        self.steps += 1

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The streams that the run looks at; pytest has others for each phase of a test."""
    streams = SimpleNamespace(stdout=io.StringIO(), stderr=Terminal())
    monkeypatch.setattr("portanet.train.progress.sys", streams)
    return streams


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch, console: Any) -> list[Bar]:
    """The bars that were made, on a terminal."""
    made: list[Bar] = []

    def make(**options: Any) -> Bar:
        made.append(Bar(**options))
        return made[-1]

    monkeypatch.setitem(sys.modules, "tqdm", SimpleNamespace(tqdm=make))
    return made


class StopAt(pn.Callback):
    """Does something at a step."""

    def __init__(self, step: int, what: Any) -> None:
        self.step, self.what = step, what

    def on_step_end(self, trainer: pn.Trainer, step: int) -> None:
        if step == self.step:
            self.what()


def fit(data: Any = (X, Y), *callbacks: pn.Callback, **options: Any) -> pn.Trainer:
    model = nn.Linear(2, 1)
    trainer = pn.Trainer(model, nn.MSELoss(), optim.SGD(model), callbacks=list(callbacks))
    trainer.fit(data, **({"batch_size": 4} if isinstance(data, tuple) else {}) | options)
    return trainer


SHOWN = {
    "epochs": ({"epochs": 2}, [("epoch 1/2", 3, 3), ("epoch 2/2", 3, 3)]),
    "steps": ({"steps": 5}, [("epoch 1", 3, 3), ("epoch 2", 2, 2)]),
    "accumulated": ({"epochs": 1, "accumulate": 2}, [("epoch 1/1", 2, 2)]),
    "no length": ({"data": iter([(X, Y)] * 4)}, [("epoch 1/1", None, 4)]),
    "off": ({"progress": False}, []),
}


@pytest.mark.parametrize("case", SHOWN)
def test_each_epoch_has_a_bar_of_its_steps(case: str, bars: list[Bar], capsys: Any) -> None:
    options, expected = SHOWN[case]
    fit(**options)
    assert [(bar.options["desc"], bar.options["total"], bar.steps) for bar in bars] == expected
    for bar in bars:
        assert bar.closed
        assert (bar.options["unit"], bar.options["leave"]) == ("step", False)
    assert capsys.readouterr().out.count("\n") == len(expected)


@pytest.mark.parametrize("stderr", [None, io.StringIO()])
def test_without_a_terminal_there_are_lines_alone(
    stderr: Any, bars: list[Bar], console: Any, capsys: Any
) -> None:
    console.stderr = stderr
    fit(epochs=2)
    assert not bars
    first, second = capsys.readouterr().out.splitlines()
    assert (first[:17], second[:17]) == ("epoch 1/2  loss 0", "epoch 2/2  loss 0")


@pytest.mark.usefixtures("pythons_handler")
def test_a_run_that_ends_early_leaves_no_bar(bars: list[Bar], console: Any) -> None:
    fit((X, Y), StopAt(2, lambda: signal.raise_signal(signal.SIGINT)), epochs=2)
    assert [(bar.steps, bar.closed) for bar in bars] == [(2, True)]
    assert console.stderr.getvalue() == "\ninterrupted: ended after step 2\n"
    with pytest.raises(ZeroDivisionError):
        fit((X, Y), StopAt(2, lambda: 1 / 0), epochs=2)
    assert [(bar.steps, bar.closed) for bar in bars[1:]] == [(2, True)]


@pytest.mark.parametrize("error", [BrokenPipeError, ValueError])  # a closed file's
def test_where_nobody_reads_on_the_run_goes_its_way(
    error: type[Exception], bars: list[Bar], monkeypatch: Any
) -> None:
    def refuse(*args: Any, **options: Any) -> None:
        raise error("nobody reads")

    monkeypatch.setattr(sys, "stdout", SimpleNamespace(write=refuse, flush=refuse))
    for method in ("update", "close"):
        monkeypatch.setattr(Bar, method, refuse)
    assert fit(epochs=2).step == 6
    monkeypatch.setattr(Bar, "__init__", refuse)
    assert fit(epochs=2).step == 6


def test_letters_that_a_console_lacks_do_not_end_a_run(monkeypatch: Any) -> None:
    class CheckedOptions(pn.Callback):
        adds = ("größe",)

        def on_epoch_end(self, trainer: pn.Trainer, epoch: int, logs: dict[str, float]) -> None:
            logs["größe"] = 1.0

    console = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", console)
    fit((X, Y), CheckedOptions())
    console.seek(0)
    assert "  gr??e 1.0000  " in console.read()
