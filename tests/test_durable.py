"""Files that are whole or not there: full disks, links, permissions, and systems that differ."""

import errno
import io
import os
import sys
from pathlib import Path

import numpy as np
import pytest

import portanet as pn
from portanet import nn

posix = pytest.mark.skipif(os.name != "posix", reason="files of POSIX")


def model(seed=0):
    return nn.Sequential({"a": nn.Linear(30, 20), "b": nn.Linear(20, 3)}).initialize(seed)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def assert_holds(path, saved):
    loaded = model(9)
    pn.load_weights(loaded, path)
    for name, array in saved.state_dict().items():
        np.testing.assert_array_equal(loaded.state_dict()[name], array, err_msg=name)


@pytest.fixture(params=[".npz", ".safetensors"])
def path(request, tmp_path):
    return tmp_path / f"weights{request.param}"


class Limited(io.FileIO):
    """A file on a disk that has room for so many bytes: the last write is cut short, as a real."""

    def __init__(self, path, mode, room):
        super().__init__(path, mode)
        self.room = room

    def write(self, data):
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        count = super().write(memoryview(data).cast("B")[: self.room])
        self.room -= count
        return count


def room_for(count, monkeypatch):
    monkeypatch.setattr(
        Path, "open", lambda path, mode: io.BufferedRandom(Limited(path, mode + "+", count))
    )


@pytest.mark.parametrize("share", np.linspace(0.0, 0.9999, 12))
def test_wherever_the_disk_is_full_the_old_file_stays(path, share, monkeypatch):
    pn.save_weights(model(0), path)
    count = int(share * path.stat().st_size)
    with monkeypatch.context() as patch:
        room_for(count, patch)
        with pytest.raises(OSError, match="No space left on device") as told:
            pn.save_weights(model(1), path)
    assert (told.value.errno, told.value.filename) == (errno.ENOSPC, str(path))
    assert_holds(path, model(0))
    assert names(path.parent) == [path.name], "what was half-written takes no room"
    with monkeypatch.context() as patch:
        room_for(2 * path.stat().st_size, patch)
        pn.save_weights(model(1), path)
    assert_holds(path, model(1))


@posix
@pytest.mark.parametrize("there", [True, False])
def test_a_link_leads_to_what_is_replaced(path, there):
    elsewhere = path.parent / "elsewhere"
    elsewhere.mkdir()
    target = elsewhere / path.name
    if there:
        pn.save_weights(model(0), target)
    path.symlink_to(os.path.join("elsewhere", path.name))
    pn.save_weights(model(1), path)
    assert path.is_symlink()
    assert not target.is_symlink()
    assert_holds(path, model(1))
    assert_holds(target, model(1))
    assert names(elsewhere) == [path.name]


def test_a_read_only_file_is_not_replaced(path, monkeypatch):
    pn.save_weights(model(0), path)
    # Root may write everything: so it is said here, and not by the file's mode.
    monkeypatch.setattr(os, "access", lambda p, mode: not (p == path and mode == os.W_OK))
    with pytest.raises(PermissionError, match=path.name):
        pn.save_weights(model(1), path)
    assert_holds(path, model(0))
    assert names(path.parent) == [path.name]


@posix
def test_a_file_system_without_permissions(path, monkeypatch):
    def refuse(path, mode):
        raise PermissionError(errno.EPERM, "this one has none")

    monkeypatch.setattr(Path, "chmod", refuse)
    pn.save_weights(model(0), path)
    pn.save_weights(model(1), path)
    assert_holds(path, model(1))


@posix
def test_a_folder_that_may_be_written_but_not_read(path, monkeypatch):
    opened = os.open

    def refuse(name, flags, *args, **options):
        if os.path.isdir(name):
            raise PermissionError(errno.EACCES, "may not be read", name)
        return opened(name, flags, *args, **options)

    monkeypatch.setattr(os, "open", refuse)
    pn.save_weights(model(0), path)
    assert_holds(path, model(0))


@posix
@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.EBADF, errno.ENOTSUP])
def test_a_folder_that_cannot_be_synced_is_no_failure(path, monkeypatch, number):
    assert_synced(path, monkeypatch, number)
    assert_holds(path, model(0))


@posix
def test_a_folder_whose_disk_fails_is_one(path, monkeypatch):
    with pytest.raises(OSError, match="as it says") as told:
        assert_synced(path, monkeypatch, errno.EIO)
    assert (told.value.errno, told.value.filename) == (errno.EIO, str(path.parent))


def assert_synced(path, monkeypatch, number):
    """Save where the sync of a folder fails, and see that it was tried, after that of the file."""
    synced = []

    def sync(handle):
        synced.append(handle in folders)
        if handle in folders:
            raise OSError(number, "as it says")

    folders, opened = set(), os.open

    def opening(*args, **options):
        folders.add(handle := opened(*args, **options))
        return handle

    monkeypatch.setattr(os, "open", opening)
    monkeypatch.setattr(os, "fsync", sync)
    try:
        pn.save_weights(model(0), path)
    finally:
        assert synced == [False, True]


@posix
@pytest.mark.parametrize("over_a_network", [False, True])
def test_macos_is_asked_to_empty_the_disks_own_memory(path, monkeypatch, over_a_network):
    import fcntl

    asked, synced = [], []

    def control(handle, command):
        asked.append(command)
        if over_a_network:
            raise OSError(errno.ENOTSUP, "not here")

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", control)
    monkeypatch.setattr(os, "fsync", synced.append)
    pn.save_weights(model(0), path)
    assert asked == [51, 51]  # the file, its folder
    assert len(synced) == 2 * over_a_network


@pytest.mark.parametrize("times", [0, 1, 3, 4])
def test_windows_is_asked_again_while_somebody_reads_the_file(path, monkeypatch, times):
    tried, slept, replace = [], [], os.replace

    def refuse(source, target):
        tried.append(target)
        if len(tried) <= times:
            raise PermissionError(errno.EACCES, "another process uses the file")
        replace(source, target)

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(os, "replace", refuse)
    monkeypatch.setattr("time.sleep", slept.append)
    if times < 4:
        pn.save_weights(model(0), path)
    else:
        with pytest.raises(PermissionError, match=path.name):
            pn.save_weights(model(0), path)
    assert slept == [0.01, 0.1, 1.0][:times]
    assert names(path.parent) == [path.name] * (times < 4)


@posix
def test_a_name_as_long_as_the_system_takes(tmp_path):
    for name in ("w" * 243 + ".safetensors", "größe" * 34 + ".npz"):
        path = tmp_path / name
        pn.save_weights(model(0), path)
        assert_holds(path, model(0))


def test_names_of_all_kinds(tmp_path):
    for name in ("a b", "größe", "模型", "[x]*?" if os.name == "posix" else "[x]", "-", "a.b"):
        folder = tmp_path / name
        folder.mkdir()
        for suffix in (".npz", ".safetensors"):
            pn.save_weights(model(0), folder / f"{name}{suffix}")
            assert_holds(folder / f"{name}{suffix}", model(0))
        assert len(names(folder)) == 2
