"""Two runs in one folder: the second is refused, before it has read or written anything."""

import errno
import importlib.util
import os
import subprocess
import sys
import threading
from types import ModuleType

import numpy as np
import pytest

import portanet as pn
from portanet import nn, optim
from portanet.train import lock
from portanet.train.lock import alone_in

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(24, 4)).astype("f4"), RNG.integers(3, size=24)
posix = pytest.mark.skipif(os.name != "posix", reason="processes of POSIX")

HOLDING = """
import sys
from pathlib import Path
from portanet.train.lock import alone_in
with alone_in(Path(sys.argv[1])):
    print("in", flush=True)
    sys.stdin.read()
"""


class Process:
    """Another process that is in a folder until it is told to leave."""

    def __init__(self, folder):
        command = [sys.executable, "-c", HOLDING, str(folder)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(command, **pipes)
        assert self.process.stdout.readline().strip() == b"in"
        self.pid = self.process.pid

    def end(self, kill=False):
        if kill:
            self.process.kill()
        self.process.communicate()


@pytest.fixture
def other(tmp_path):
    process = Process(tmp_path / "run")
    yield process
    process.end()


def trainer(*callbacks):
    model = nn.Linear(4, 3).initialize(0)
    return pn.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model), callbacks=callbacks)


def fit(run, folder, **options):
    options = {"batch_size": 8, "progress": False, "checkpoint": folder} | options
    return run.fit((X, Y), **options)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("resume", ["auto", None])
@pytest.mark.parametrize("kill", [True, False])
def test_the_second_of_two_processes_is_refused_until_the_first_ends(tmp_path, other, resume, kill):
    folder, run = tmp_path / "run", trainer()
    before = contents(folder)
    with pytest.raises(BlockingIOError, match=rf"run is in use: process {other.pid} on ") as told:
        fit(run, folder, resume=resume)
    assert str(folder / ".lock") in str(told.value)
    assert run.step == 0
    assert contents(folder) == before
    other.end(kill)
    fit(run, folder, resume=resume)
    assert run.step == 3


def test_what_the_first_has_not_finished_stays(tmp_path):
    with alone_in(tmp_path / "run"):
        half = tmp_path / "run" / ".step-00000003.safetensors.01234567.tmp"
        half.touch()
        with pytest.raises(BlockingIOError):
            fit(trainer(), tmp_path / "run")
        assert half.exists()
    fit(trainer(), tmp_path / "run")
    assert not half.exists()


def test_two_trainers_of_one_process(tmp_path):
    class Inner(pn.Callback):
        def on_step_end(self, trainer_, step):
            with pytest.raises(BlockingIOError, match=f"process {os.getpid()} on "):
                fit(trainer(), tmp_path)
            thread = threading.Thread(target=refused)
            thread.start()
            thread.join()

    def refused():
        with pytest.raises(BlockingIOError):
            fit(trainer(), tmp_path, resume="auto")
        seen.append(True)

    seen = []
    run = trainer(Inner())
    fit(run, tmp_path, epochs=2)
    assert len(seen) == run.step == 6
    fit(run, tmp_path)  # the same one again
    fit(trainer(), tmp_path, resume="auto")


def test_whoever_fails_leaves(tmp_path):
    for _ in range(2):
        with pytest.raises(ValueError, match="batch_size"):
            fit(trainer(), tmp_path, batch_size=0)


@pytest.mark.parametrize("number", sorted(lock.NO_LOCKS))
def test_a_file_system_without_locks_keeps_nobody_out(tmp_path, monkeypatch, number):
    def refuse(file):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(lock, "_lock", refuse)
    with alone_in(tmp_path):
        run = trainer()
        fit(run, tmp_path)
    assert run.step == 3


def test_without_locks_the_last_to_come_has_the_folder(tmp_path, monkeypatch):
    """Or where other computers do not know of them, or somebody has deleted the file."""

    class Come(pn.Callback):
        def on_step_end(self, trainer, step):
            if step == 4:
                processes.append(Process(folder))
                before.update(contents(folder))

    def refuse(file):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock, "_lock", refuse)
    folder, run, processes, before = tmp_path / "run", trainer(Come()), [], {}
    try:
        with pytest.raises(
            BlockingIOError, match=r"run: process (\d+) on .* this one ends"
        ) as told:
            fit(run, folder, epochs=3)
        assert f"process {processes[0].pid} on" in str(told.value)
        assert run.step == 6
        assert contents(folder) == before
    finally:
        processes[0].end(kill=True)
    fit(run, None)  # it is as after its last step
    again = trainer()
    assert fit(again, folder, epochs=3, resume="auto").steps == run.history.steps
    assert again.step == 9


@pytest.mark.parametrize("error", [BlockingIOError, PermissionError])  # POSIX's, and Windows's
def test_however_the_system_says_that_it_is_taken(tmp_path, monkeypatch, error):
    def refuse(file):
        raise error(errno.EACCES, "taken")

    monkeypatch.setattr(lock, "_lock", refuse)
    with pytest.raises(BlockingIOError, match="is in use: another process saves"):
        fit(trainer(), tmp_path)


def test_a_lock_that_fails_otherwise(tmp_path, monkeypatch):
    def refuse(file):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(lock, "_lock", refuse)
    with pytest.raises(OSError, match="Input/output error"):
        fit(trainer(), tmp_path)


def test_windows_locks_a_byte_behind_the_words(tmp_path, monkeypatch):
    """Which nobody else could read, else; its module is made up here."""
    taken = []

    def locking(handle, mode, count):
        where = (os.fstat(handle).st_ino, os.lseek(handle, 0, os.SEEK_CUR), count)
        assert mode == windows.LK_NBLCK
        if where in taken:
            raise PermissionError(errno.EACCES, "Permission denied")
        taken.append(where)

    windows = ModuleType("msvcrt")
    windows.LK_NBLCK, windows.locking = 2, locking
    monkeypatch.setitem(sys.modules, "msvcrt", windows)
    monkeypatch.setattr(sys, "platform", "win32")
    spec = importlib.util.spec_from_file_location("lock_of_windows", lock.__file__)
    there = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(there)
    with there.alone_in(tmp_path):
        words = (tmp_path / ".lock").read_bytes()
        assert words.startswith(b"process %d on " % os.getpid())
        ((_, first, count),) = taken
        assert first > len(words)
        assert count == 1
        mine = f"in use: process {os.getpid()} on "
        with pytest.raises(BlockingIOError, match=mine), there.alone_in(tmp_path):
            pass


def test_who_is_in_no_run_may_save_by_hand(tmp_path):
    run, folder = trainer(), tmp_path / "run"
    fit(run, folder)
    other = Process(folder)
    try:
        assert pn.Checkpoints(folder).write(run, False).exists()
    finally:
        other.end()


def test_another_folder_is_free(tmp_path, other):
    fit(trainer(), tmp_path / "run2")
    fit(trainer(), None)
    with alone_in(tmp_path / "run2"), alone_in(tmp_path / "run3"):
        pass


def test_who_reads_the_files_does_not_end_the_lock(tmp_path):
    with alone_in(tmp_path):
        if os.name == "posix":
            assert str(os.getpid()) in (tmp_path / ".lock").read_text(encoding="utf-8")
        process = subprocess.run(
            [sys.executable, "-c", HOLDING, str(tmp_path)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.stdout == ""
        assert "BlockingIOError" in process.stderr


@posix
def test_a_forked_process_does_not_hold_the_lock_after_its_parent(tmp_path):
    """Such as a worker of somebody's loader, that lives on when the run is killed."""
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from portanet.train.lock import alone_in\n"
        "with alone_in(Path(sys.argv[1])):\n"
        "    if os.fork():\n"
        "        signal.pause()\n"
        "    print(os.getpid(), flush=True)\n"
        "    sys.stdin.read()\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", script, str(tmp_path)]
    parent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        child = int(parent.stdout.readline())
        with pytest.raises(BlockingIOError), alone_in(tmp_path):
            pass
        parent.kill()
        parent.wait()
        with alone_in(tmp_path):
            os.kill(child, 0)  # it is there
    finally:
        parent.kill()
        parent.communicate()


@posix
def test_a_folder_of_a_run_whose_computer_went_down(tmp_path):
    """Where a server of files still holds its lock, deleting the file ends it."""
    with alone_in(tmp_path):
        (tmp_path / ".lock").unlink()
        with alone_in(tmp_path):
            pass
