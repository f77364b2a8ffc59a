"""Where data files lie on this computer, and what is said where they do not."""

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from portanet.data.download import NotDownloadedError

AnyPath = str | os.PathLike[str]


class DataError(ValueError):
    """A data file cannot be used; the message names the file and says what is wrong with it."""


class DataNotFoundError(DataError, FileNotFoundError):
    """A data file is missing; the message says where it belongs and what keeps it from coming."""


def data_root(root: AnyPath | None = None) -> Path:
    """Return the folder of all data sets: `root`, else ``PORTANET_DATA``, else a cache folder.

    That is the user's own: ``~/.cache/portanet`` (or in ``XDG_CACHE_HOME``) on Linux,
    ``~/Library/Caches/portanet`` on macOS, ``%LOCALAPPDATA%\\portanet`` on Windows.

    Raises DataNotFoundError for a home directory that is not known.
    """
    if root is None:
        root = os.environ.get("PORTANET_DATA") or _cache_root()
    folder = Path(os.path.expanduser(root))
    if folder.parts[:1] == ("~",):  # as of a container's user without a name
        raise DataNotFoundError(
            f"{folder}: this user has no home directory; set HOME, or the environment variable "
            "PORTANET_DATA to a folder of data"
        )
    return folder


def _cache_root() -> Path:
    return Path(os.path.expanduser(os.path.join(_user_cache(), "portanet")))


def _user_cache() -> str:
    if sys.platform == "win32":
        return os.environ.get("LOCALAPPDATA") or os.path.join("~", "AppData", "Local")
    if sys.platform == "darwin":
        return "~/Library/Caches"
    return os.environ.get("XDG_CACHE_HOME") or "~/.cache"


def locate(
    folder: Path,
    names: Iterable[str],
    fetch: Callable[[list[str]], None] | None,
    hint: str,
    spellings: Callable[[str], Iterable[str]] = lambda name: (name,),
) -> dict[str, Path]:
    """Return where each named file lies in `folder`, after downloading those that are missing.

    Files that are already there may be other versions than the published ones, or the user's own,
    so they are not compared with those by checksums; their readers check what they hold.

    Args:
        folder: the folder of one data set, in that of all: `data_root`.
        names: of its files.
        fetch: downloads files of these names, or raises NotDownloadedError; None forbids it.
        hint: in what form the files are expected, or from where.
        spellings: gives the names under which a file may lie.

    Raises DataNotFoundError where a file is missing and cannot be downloaded, and where the folder
    of all data sets is missing: it may be misspelled, so that only the cache folder is created.
    """
    root = folder.parent
    if root != _cache_root() and not os.path.isdir(root):
        raise DataNotFoundError(
            f"there is no folder {root} to hold {folder.name}/: create it, or correct the argument "
            f"root or the environment variable PORTANET_DATA that names it"
        )
    found = _find(folder, names, spellings)
    missing = [name for name in names if name not in found]
    if not missing:
        return found
    try:
        if fetch is None:
            raise NotDownloadedError("download=False")
        fetch(missing)
    except NotDownloadedError as reason:
        reasons = "".join(f"\n  {line}" for line in str(reason).splitlines())
        raise DataNotFoundError(
            f"missing in {folder}: {', '.join(missing)}; not downloaded:{reasons}\nPut them there "
            f"by hand, {hint}, or set the environment variable PORTANET_DATA to the folder that "
            f"holds {folder.name}/"
        ) from reason.__cause__
    return _find(folder, names, spellings)


def _find(
    folder: Path, names: Iterable[str], spellings: Callable[[str], Iterable[str]]
) -> dict[str, Path]:
    """Return those of the files that are there."""
    found = {}
    for name in names:
        for path in (folder / spelling for spelling in spellings(name)):
            if name not in found and os.path.isfile(path):
                found[name] = path
    return found
