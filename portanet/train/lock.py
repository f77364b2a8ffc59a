"""A folder in the hands of one run: a lock of the operating system's, which ends with its process.

However a process ends, the system takes its locks back, so a run that was killed can go on at once.
The lock is that of a file, for folders cannot be locked on Windows, nor over a network. Some file
systems have no locks, or none that other computers know of. There the last to come has the folder,
as its name is in the file; who was there before notices when it is about to write.
"""

import errno
import os
import platform
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

NAME = ".lock"  # stays: whoever deleted it could delete another run's
NO_LOCKS = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL}
_held: dict[Path, tuple[IO[bytes], bytes]] = {}  # the files of this process, and what it wrote

if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[bytes]) -> None:
        file.seek(1 << 30)  # what is locked cannot be read: not the words, but a byte behind them
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _forked() -> None:
        """Leave the locks to the parent: a child that outlives it would hold them."""
        while _held:
            _held.popitem()[1][0].close()

    if hasattr(os, "register_at_fork"):  # not in a browser
        os.register_at_fork(after_in_child=_forked)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder, which is made where its parent is there.

    One that was made here, and into which nothing came, is deleted again. Raises BlockingIOError
    where another run is in the folder, and OSError where nothing can be written there.
    """
    made = not folder.exists()
    with suppress(FileExistsError):
        folder.mkdir()
    with _locked(folder / NAME):
        try:
            yield
        finally:
            if made and sys.platform != "win32":  # which deletes no open file
                _delete_unused(folder)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file, and write who does into it."""
    with path.open("a+b") as file:
        try:
            _lock(file)
        except (BlockingIOError, PermissionError) as error:  # Windows says the latter
            raise BlockingIOError(
                f"{path.parent} is in use: {_owner(path)} saves its run there, and each needs a "
                f"folder of its own. If that computer went down, delete {path}"
            ) from error
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
        words = f"process {os.getpid()} on {platform.node()}\n{secrets.token_hex(8)}\n".encode()
        file.truncate(0)
        file.write(words)
        file.flush()
        _held[path] = file, words
        try:
            yield
        finally:
            _held.pop(path, None)


def _delete_unused(folder: Path) -> None:
    """Delete a folder in which nothing but our lock is."""
    with suppress(OSError):
        if [path.name for path in folder.iterdir()] == [NAME]:
            (folder / NAME).unlink()
            folder.rmdir()


def check_alone(folder: Path) -> None:
    """Raise BlockingIOError where another run has come into a folder since this one did."""
    path = folder / NAME
    with suppress(FileNotFoundError):  # the folder was deleted meanwhile
        if path in _held and path.read_bytes() != _held[path][1]:
            raise BlockingIOError(
                f"{folder}: {_owner(path)} has begun to save its run there, too: this one ends"
            )


def _owner(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return lines[0] if lines else "another process"
