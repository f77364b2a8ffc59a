"""Downloading data files by HTTPS and pooch, which keeps none without the published checksum.

A file comes under its name when it is whole. So what lies there can be used, wherever a connection
was cut or this process killed before.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

SCHEME = "https://"

# Downloads a file from an address, by its SHA-256, under a name, to a folder; returns its path.
Retrieve = Callable[[str, str, str, Path], str]


class NotDownloadedError(Exception):
    """Files could not be downloaded; the message says why."""


def fetch_files(folder: Path, checksums: Mapping[str, str], mirrors: Sequence[str]) -> None:
    """Download files into a folder, or raise NotDownloadedError.

    Args:
        folder: where they are kept; it is created where it is missing.
        checksums: the name of each file with its SHA-256.
        mirrors: addresses of folders that hold them, ending in ``/``; what one cannot give is
            asked of the next.
    """
    reasons = []
    with _downloading(folder) as retrieve:
        for mirror in mirrors:
            try:
                for name, checksum in checksums.items():
                    retrieve(mirror + name, checksum, name, folder)
                return
            except (OSError, ValueError) as error:  # what requests raises is an OSError
                reasons.append(f"\n{mirror}: {error}")
    raise NotDownloadedError("".join(reasons))


def fetch_archive(folder: Path, names: Iterable[str], url: str, checksum: str) -> None:
    """Download a ``.tar.gz`` file and keep some of the files in it, or raise NotDownloadedError.

    Args:
        folder: where they are kept; it is created where it is missing, and has the name of theirs
            in the archive.
        names: of the files; they replace those that are there.
        url: the address of the archive.
        checksum: its SHA-256.
    """
    import tarfile
    import zlib
    from tempfile import TemporaryDirectory

    with _downloading(folder) as retrieve:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(prefix="download-", dir=folder) as scratch:
                archive = retrieve(url, checksum, "archive.tar.gz", Path(scratch))
                _unpack(archive, names, folder, os.path.join(scratch, "part"))
        except (OSError, ValueError, EOFError, tarfile.TarError, zlib.error) as error:
            raise NotDownloadedError(f"\n{url}: {error}") from error


def _unpack(archive: str, names: Iterable[str], folder: Path, part: str) -> None:
    import shutil
    import tarfile

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
                    target.flush()
                    os.fsync(target.fileno())  # or a power failure may leave zeros under the name
                os.replace(part, folder / wanted.pop(member.name))
    if wanted:
        raise ValueError(f"the archive has no {', '.join(wanted)}")


@contextmanager
def _downloading(folder: Path) -> Iterator[Retrieve]:
    """Give a function that downloads without a word; leave no new folder that is empty."""
    try:
        import pooch
    except ImportError as error:
        raise NotDownloadedError(
            f'{error}; to enable downloading: pip install "portanet[data]"'
        ) from error
    # A redirect could lead away from HTTPS; pooch's own chunks of 1 KiB are slow.
    fetch = pooch.HTTPDownloader(chunk_size=1 << 16, timeout=10, allow_redirects=False)
    logger = pooch.get_logger()
    level = logger.level
    new = [place for place in (folder, folder.parent) if not os.path.exists(place)]

    def retrieve(url: str, checksum: str, name: str, to: Path) -> str:
        if not url.startswith(SCHEME):
            raise ValueError(f"{url} is not an address of HTTPS")
        # pooch writes to a temporary file and renames it once its checksum is right. What another
        # mirror gave is not asked for again.
        return str(pooch.retrieve(url, checksum, name, to, downloader=fetch))

    logger.setLevel("WARNING")
    try:
        yield retrieve
    finally:
        logger.setLevel(level)
        for place in new:
            with suppress(OSError):  # it holds what was downloaded, or was never made
                place.rmdir()
