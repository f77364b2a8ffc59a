"""Runs in processes of their own that are killed, again and again, and go on as if never killed."""

import multiprocessing
import os
import random
import signal
from collections import Counter
from contextlib import suppress

import pytest
import run_to_be_killed

from portanet.storage import pack
from portanet.train.checkpoints import read_run

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")

KILLS = 20
EVENTS = ("step", "writing", "renaming")
RUNS = {  # backend, its options, whether there is a batch norm
    "numpy": ("numpy", {"threads": 1}, True),
    "numpy-threads": ("numpy", {"threads": 2}, True),
    "numpy-threads-in-parts": ("numpy", {"threads": 2}, False),
    "torch": ("torch", {}, True),
}


@pytest.fixture(params=RUNS)
def kind(request):
    if request.param == "torch":
        pytest.importorskip("torch")
    return RUNS[request.param]


class Process:
    """A run in a new process, and the pipe to it."""

    def __init__(self, kind, folder, out, halting=False):
        # The server has imported everything once; each run is a fork of it.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["run_to_be_killed", "torch"])  # torch, if it is there
        self.pipe, end = context.Pipe()
        arguments = (end, *kind, folder and str(folder), str(out), halting)
        self.process = context.Process(target=run_to_be_killed.train, args=arguments)
        self.process.start()
        end.close()

    def events(self):
        """Yield what the run tells, and let it go on after each."""
        with suppress(EOFError, ConnectionResetError):
            while True:
                event = self.pipe.recv()
                yield event
                if event != "step":
                    self.pipe.send("go on")

    def end(self):
        """Let the run come to its end; return its exit code."""
        for _ in self.events():
            pass
        self.process.join()
        self.pipe.close()
        return self.process.exitcode


def comparable(path):
    """Return all that a saved run holds but times: what is no array as text, and the arrays."""
    state = read_run(path)
    for name in ("seconds", "samples_per_second"):
        del state["history"]["epochs"][name]
    text, arrays = pack(state)
    return text, {name: (array.dtype, array.tobytes()) for name, array in arrays.items()}


def test_killed_at_any_moment_a_run_ends_as_if_it_never_was(kind, tmp_path):
    folder, whole, resumed = tmp_path / "run", tmp_path / "whole", tmp_path / "resumed"
    whole, resumed = whole.with_suffix(".safetensors"), resumed.with_suffix(".safetensors")
    assert Process(kind, None, whole).end() == 0
    choose, kills = random.Random(str(kind)), Counter()
    for _ in range(KILLS):
        run = Process(kind, folder, resumed, halting=True)
        last, steps = choose.choice(EVENTS), choose.randint(1, 3)
        for event in run.events():
            steps -= event == "step"
            # After a step it computes on: it is killed wherever it is by then.
            if event == last and steps <= 0:
                run.process.kill()
                break
        assert run.end() == -signal.SIGKILL, "it ended before it was killed"
        kills[last] += 1
        saved = list(folder.glob("step-*.safetensors"))
        assert 1 <= len(saved) <= 3
        for path in saved:
            read_run(path)
    assert min(kills[event] for event in EVENTS) >= 3
    assert not resumed.exists()
    assert Process(kind, folder, resumed).end() == 0
    assert comparable(resumed) == comparable(whole)
    assert not list(folder.glob("*.tmp")), "what was half-written is cleared away"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_step_and_writes_a_checkpoint(number, tmp_path):
    folder, kind = tmp_path / "run", RUNS["numpy"]
    whole, resumed = tmp_path / "whole.safetensors", tmp_path / "resumed.safetensors"
    assert Process(kind, None, whole).end() == 0
    run = Process(kind, folder, resumed)
    for count, _ in enumerate(run.events(), 1):
        if count == 7:
            os.kill(run.process.pid, number)
    assert run.end() == 128 + number
    saved = read_run(max(folder.glob("step-*")))
    assert len(saved["history"]["steps"]["loss"]) == saved["step"] >= 7
    assert saved["running"]
    assert Process(kind, folder, resumed).end() == 0
    assert comparable(resumed) == comparable(whole)
