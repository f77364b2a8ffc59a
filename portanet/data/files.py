"""Where data files lie on this computer, and how missing ones are downloaded."""

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

AnyPath = str | os.PathLike[str]


class DataError(ValueError):
    """A data file cannot be used; the message names the file and says what is wrong with it."""


class DataNotFoundError(DataError, FileNotFoundError):
    """A data file is missing; the message says where it belongs and what keeps it from coming."""


def data_root(root: AnyPath | None = None) -> Path:
    """Return the folder of all data sets: `root`, else ``PORTANET_DATA``, else a cache folder.

    That is the user's own: ``~/.cache/portanet`` (or in ``XDG_CACHE_HOME``) on Linux,
    ``~/Library/Caches/portanet`` on macOS, ``%LOCALAPPDATA%\\portanet`` on Windows.
    """
    if root is None:
        root = os.environ.get("PORTANET_DATA") or _cache_root()
    return Path(os.path.expanduser(root))


def _cache_root() -> Path:
    return Path(os.path.expanduser(os.path.join(_user_cache(), "portanet")))


def _user_cache() -> str:
    if sys.platform == "win32":
        return os.environ.get("LOCALAPPDATA") or os.path.join("~", "AppData", "Local")
    if sys.platform == "darwin":
        return "~/Library/Caches"
    return os.environ.get("XDG_CACHE_HOME") or "~/.cache"


def locate(
    folder: Path, checksums: Mapping[str, str], mirrors: Sequence[str], *, download: bool
) -> dict[str, Path]:
    """Return where each named file lies in `folder`, after downloading those that are missing.

    Args:
        folder: the folder of one data set, in that of all: `data_root`.
        checksums: the names of its files without ``.gz``, each with the SHA-256 of the gzipped
            file as it is published. Files that are already there may be packed otherwise, so they
            are not compared with it.
        mirrors: addresses of folders that hold the gzipped files, ending in ``/``.
        download: whether missing files may be downloaded.

    Raises DataNotFoundError where a file is missing and cannot be downloaded, and where the folder
    of all data sets is missing: it may be misspelt, so that only the cache folder is created.
    """
    root = folder.parent
    if root != _cache_root() and not os.path.isdir(root):
        raise DataNotFoundError(
            f"there is no folder {root} to hold {folder.name}/: create it, or correct the argument "
            f"root or the environment variable PORTANET_DATA that names it"
        )
    found = _find(folder, checksums)
    missing = {name: checksums[name] for name in checksums if name not in found}
    if missing:
        reason = _download(folder, missing, mirrors) if download else "download=False"
        if reason:
            raise DataNotFoundError(
                f"missing in {folder}: {', '.join(missing)}. Put them there, plain or gzipped "
                f"(.gz), or set the environment variable PORTANET_DATA to the folder that holds "
                f"{folder.name}/. They were not downloaded: {reason}"
            )
        found = _find(folder, checksums)
    return found


def _find(folder: Path, names: Mapping[str, str]) -> dict[str, Path]:
    """Return those of the files that are there, plain or gzipped."""
    found = {}
    for name in names:
        # Some of the unpacked copies in circulation have a dot before "idx".
        for spelling in (name, name.replace("-idx", ".idx")):
            for path in (folder / spelling, folder / f"{spelling}.gz"):
                if name not in found and os.path.isfile(path):
                    found[name] = path
    return found


def _download(folder: Path, checksums: Mapping[str, str], mirrors: Sequence[str]) -> str | None:
    """Download gzipped files; return None, or the reason why some could not be had."""
    try:
        import pooch
    except ImportError as error:
        return f'{error}; to enable downloading: pip install "portanet[data]"'
    # A redirect could lead away from HTTPS; pooch's own chunks of 1 KiB are slow.
    fetch = pooch.HTTPDownloader(chunk_size=1 << 16, timeout=10, allow_redirects=False)
    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel("WARNING")
    new = [place for place in (folder, folder.parent) if not os.path.exists(place)]
    left = dict(checksums)
    reasons = []
    try:
        for mirror in mirrors:
            try:
                for name, checksum in list(left.items()):
                    # pooch writes to a temporary file and renames it once its checksum is right.
                    file = f"{name}.gz"
                    pooch.retrieve(mirror + file, checksum, file, folder, downloader=fetch)
                    del left[name]
                return None
            except (OSError, ValueError) as error:  # what requests raises is an OSError
                reasons.append(f"\n{mirror}: {error}")
    finally:
        logger.setLevel(level)
        for place in new:
            with suppress(OSError):  # it holds what was downloaded, or was never made
                place.rmdir()
    return "".join(reasons)
