"""Files that are whole or not there, whatever happens while they are written."""

import errno
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

# What fsync says where folders cannot be synced.
NOT_OF_FOLDERS = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF)


def write_whole(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Write a whole file or nothing: to a temporary one in the same folder, then rename.

    When this returns, the file outlives a power failure. It has the permissions of the one that it
    replaces, else those that `open` gives a new one; of a link, what it leads to is replaced.
    Raises OSError, naming `path`, where it cannot be written or is there and read-only; what was
    there before is left.
    """
    path = Path(os.path.realpath(path)) if path.is_symlink() else path
    with replacing(path) as temporary, temporary.open("xb") as file:
        if path.is_file():
            if not os.access(path, os.W_OK):  # to rename would not ask
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            old, new = (p.stat().st_mode & 0o777 for p in (path, temporary))
            if old != new:  # some file systems refuse even to set what is set
                temporary.chmod(old)
        write(file)
        file.flush()
        _sync(file.fileno())


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; what is made there comes in its place, or goes."""
    temporary = path.with_name(f".{path.name[:50]}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        _rename(temporary, path)
    except OSError as error:  # name the caller's path
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:  # to rename one of two names of a file to the other does nothing
        with suppress(OSError):  # it may not be there, nor the folder
            temporary.unlink()
    _sync_folder(path.parent)


def _rename(source: Path, target: Path) -> None:
    """Rename a file; Windows refuses for a moment, while a virus scanner reads either of them."""
    for seconds in (0.01, 0.1, 1.0) if sys.platform == "win32" else ():
        with suppress(PermissionError):
            os.replace(source, target)
            return
        time.sleep(seconds)
    os.replace(source, target)


def _sync(handle: int) -> None:
    """Bring a file to the disk; what `fsync` does on macOS leaves it in the disk's own memory."""
    if sys.platform == "darwin":
        import fcntl

        with suppress(OSError):  # over a network
            fcntl.fcntl(handle, fcntl.F_FULLFSYNC)
            return
    os.fsync(handle)


def _sync_folder(folder: Path) -> None:
    """Make a rename last; Windows cannot, nor some file systems of a network, and needs not."""
    if os.name == "posix":
        try:
            handle = os.open(folder, os.O_RDONLY)
        except PermissionError:  # one may write into a folder that one may not read
            return
        try:
            _sync(handle)
        except OSError as error:
            if error.errno not in NOT_OF_FOLDERS:
                raise OSError(error.errno, error.strerror, str(folder)) from error
        finally:
            os.close(handle)
