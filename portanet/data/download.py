"""Downloading data files by HTTPS and pooch, which keeps none without the published checksum.

A file comes under its name when it is whole. So what lies there can be used, wherever a connection
was cut or this process killed before.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

SCHEME = "https://"
SCRATCH = ".portanet-"  # begins the names of folders for what is not whole yet
ABANDONED = 3600  # seconds without a byte, after which a folder is a killed process's

# Downloads a file from an address, by its SHA-256; returns where it lies in a folder for scratch.
Retrieve = Callable[[str, str], str]


class NotDownloadedError(Exception):
    """Files could not be downloaded; the message says why, in a line for each address."""


def fetch_files(folder: Path, checksums: Mapping[str, str], mirrors: Sequence[str]) -> None:
    """Download files into a folder, or raise NotDownloadedError from what kept them.

    Args:
        folder: where they are kept; it is created where it is missing.
        checksums: the name of each file with its SHA-256.
        mirrors: addresses of folders that hold them, ending in ``/``; what one cannot give is
            asked of the next.
    """
    missing, errors = dict(checksums), dict[str, Exception]()
    with _downloading(folder) as retrieve:
        for mirror in mirrors:
            try:
                for name, checksum in list(missing.items()):
                    _keep(retrieve(mirror + name, checksum), folder / name)
                    del missing[name]
                return
            except (OSError, ValueError) as error:  # what requests raises is an OSError
                errors[mirror + name] = error
    reasons = "\n".join(f"{url}: {_briefly(error)}" for url, error in errors.items())
    raise NotDownloadedError(reasons) from ExceptionGroup("from the mirrors", [*errors.values()])


def fetch_archive(folder: Path, names: Iterable[str], url: str, checksum: str) -> None:
    """Download a ``.tar.gz`` file and keep some of its files, or raise NotDownloadedError.

    Args:
        folder: where they are kept; it is created where it is missing, and has the name of theirs
            in the archive.
        names: of the files; they replace those that are there.
        url: the address of the archive.
        checksum: its SHA-256.
    """
    import tarfile
    import zlib

    with _downloading(folder) as retrieve:
        try:
            _unpack(retrieve(url, checksum), names, folder)
        except (OSError, ValueError, EOFError, tarfile.TarError, zlib.error) as error:
            raise NotDownloadedError(f"{url}: {_briefly(error)}") from error


def _briefly(error: Exception) -> str:
    """Return what kept a file in a few words: the system's, where a connection failed."""
    inner: BaseException = error
    while isinstance(error, OSError) and (cause := inner.__cause__ or inner.__context__):
        inner = cause  # requests tells of urllib3's errors, which tell of the system's
    words = getattr(inner, "strerror", None) or str(inner) or type(inner).__name__
    for tail in (" for url: ", ": expected ", "\n"):  # the address again; two checksums
        words = words.partition(tail)[0]
    return words


def _unpack(archive: str, names: Iterable[str], folder: Path) -> None:
    import shutil
    import tarfile

    part = f"{archive}.part"
    wanted = {f"{folder.name}/{name}": name for name in names}
    with tarfile.open(archive, "r:gz") as tar:
        for member in tar:
            if member.isreg() and member.name in wanted:
                # Nothing but bytes is taken from the archive: its paths, links and rights do not
                # count. They come under their name when they are complete.
                source = tar.extractfile(member)
                assert source is not None  # as for any regular file
                with source, open(part, "wb") as target:
                    shutil.copyfileobj(source, target)
                _keep(part, folder / wanted.pop(member.name))
    if wanted:
        raise ValueError(f"the archive has no {', '.join(wanted)}")


def _keep(path: str, name: Path) -> None:
    """Give a whole file its name, when it is on the disk: else a power failure may leave zeros."""
    with open(path, "r+b") as file:  # to write: Windows syncs no other
        os.fsync(file.fileno())
    os.replace(path, name)


@contextmanager
def _downloading(folder: Path) -> Iterator[Retrieve]:
    """Give a function that downloads without a word; leave nothing that is not whole.

    It downloads to a folder within the folder, so that what is whole needs but a new name.
    """
    from tempfile import TemporaryDirectory

    try:
        import pooch
    except ImportError as error:
        raise NotDownloadedError(f"{error}; to enable downloading: pip install pooch") from error
    logger = pooch.get_logger()
    level = logger.level
    new = [place for place in (folder, folder.parent) if not os.path.exists(place)]
    logger.setLevel("WARNING")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=SCRATCH, dir=folder) as scratch:
            # The folder's own clock: that of a file server may be another than this computer's.
            _clear(folder, os.stat(scratch).st_mtime)

            def retrieve(url: str, checksum: str) -> str:
                if not url.startswith(SCHEME):
                    raise ValueError(f"{url} is not an address of HTTPS")
                return str(pooch.retrieve(url, checksum, "file", scratch, downloader=_get))

            yield retrieve
    except OSError as error:
        raise NotDownloadedError(f"{folder}: {_briefly(error)}") from error
    finally:
        logger.setLevel(level)
        for place in new:
            with suppress(OSError):  # it holds what was downloaded, or was never made
                place.rmdir()


def _get(url: str, path: str, pooch: object) -> None:
    """Write what an address has to a file; pooch's own is slow, and leaves connections open."""
    import requests

    # A redirect could lead away from HTTPS.
    with requests.get(url, stream=True, timeout=10, allow_redirects=False) as answer:
        answer.raise_for_status()
        with open(path, "wb") as file:
            for chunk in answer.iter_content(1 << 16):
                file.write(chunk)


def _clear(folder: Path, now: float) -> None:
    """Remove what killed processes left; others may be downloading at this moment."""
    import shutil

    for scratch in folder.glob(f"{SCRATCH}*"):
        with suppress(OSError):  # another process was faster
            newest = max(path.stat().st_mtime for path in (scratch, *scratch.iterdir()))
            if newest < now - ABANDONED:
                shutil.rmtree(scratch)
