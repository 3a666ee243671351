"""Objects that several machines reach: a few operations on whatever fsspec opens.

``s3://bucket/pace``, ``gs://...``, ``file:///mnt/share/pace`` or ``memory://pace`` (for tests). An
object is there completely or absent, and never changes unless it is written over; there are no
locks. What must not happen twice is therefore created under a name that only one writer can take.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pace_integrations._files import create_file, make_folder, remove_file
from pace_integrations.errors import ConfigError

_PLAIN = re.compile(r"[\w-][\w.-]*", re.ASCII)
_AT_ONCE = 8  # objects that are fetched or sent at the same time


class DamagedObjectError(OSError):
    """An object does not have the bytes that it was sealed with."""


@dataclass(frozen=True, slots=True)
class Seal:
    """What the bytes of an object must be.

    Attributes:
        bytes: Its size.
        sha256: Their hash.
    """

    bytes: int
    sha256: str

    @classmethod
    def of_file(cls, path: Path) -> Seal:
        """Return the seal of a file on this machine."""
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return cls(path.stat().st_size, digest)


def is_url(place: str | os.PathLike[str]) -> bool:
    """Return True if a place is an address for fsspec, and no path of this machine."""
    return isinstance(place, str) and "://" in place


def is_plain_name(name: object) -> bool:
    """Return True if a name that a store gives leads nowhere but into the folder it is for."""
    return isinstance(name, str) and bool(_PLAIN.fullmatch(name))


class SharedFolder:
    """A folder of objects.

    Args:
        url: Its address. What a store needs besides (keys, endpoints) comes from where its own
            library looks: for S3 the variables AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL and so on.

    Raises:
        ConfigError: Nothing that is installed opens the address.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._fs, self._root = _open_filesystem(self.url)

    def read(self, name: str) -> bytes:
        """Return an object.

        Raises:
            FileNotFoundError: It is not there.
            OSError: The store does not answer.
        """
        with self._translate_errors():
            return bytes(self._fs.cat_file(self._locate(name)))

    def read_all(self, names: Iterable[str]) -> dict[str, bytes]:
        """Return those of some objects that are there."""

        def read(name: str) -> bytes | None:
            with contextlib.suppress(FileNotFoundError):
                return self.read(name)
            return None

        wanted = list(names)
        pairs = zip(wanted, _run_together(read, wanted), strict=True)
        return {name: data for name, data in pairs if data is not None}

    def create(self, name: str, data: bytes) -> bool:
        """Write an object that is not there yet; return False where another writer came first.

        Stores without a conditional write (WebDAV, SFTP) look first and then write, so that there
        two writers at the same moment may both take the name.
        """
        place = self._locate(name)
        with self._translate_errors():
            if "file" in _protocols(self._fs):
                return _create_file(Path(place), data)
            try:
                self._fs.pipe_file(place, data, mode="create")
            except FileExistsError:
                return False
        return True

    def write(self, name: str, data: bytes) -> None:
        """Write an object, over one that is there."""
        with self._translate_errors():
            if "file" in _protocols(self._fs):
                _replace_file(Path(self._locate(name)), data)
            else:
                self._fs.pipe_file(self._locate(name), data)

    def upload(self, files: Mapping[str, Path]) -> None:
        """Write files of this machine, by the name they get.

        Raises:
            OSError: The store does not take one.
        """

        def send(pair: tuple[str, Path]) -> None:
            name, path = pair
            with self._translate_errors():
                if "file" in _protocols(self._fs):
                    _replace_file(Path(self._locate(name)), path.read_bytes())
                else:
                    self._fs.put_file(str(path), self._locate(name))

        _run_together(send, files.items())

    def download(self, name: str, path: Path, seal: Seal | None = None) -> None:
        """Copy an object to this machine; the file is there completely or absent.

        Args:
            name: The object.
            path: The file; one that is there is replaced.
            seal: What its bytes must be, where that is known.

        Raises:
            FileNotFoundError: It is not there.
            DamagedObjectError: It does not have the bytes that it should have.
            OSError: The store does not answer, or the file cannot be written.
        """
        make_folder(path.parent)
        beside = path.with_name(f".{path.name}-{uuid.uuid4().hex[:12]}.tmp")
        try:
            create_file(beside).close()  # private from the start
            with self._translate_errors():
                self._fs.get_file(self._locate(name), str(beside))
            if seal is not None and Seal.of_file(beside) != seal:
                raise DamagedObjectError(errno.EIO, f"{self.url}/{name} was changed")
            beside.replace(path)
        finally:
            remove_file(beside)

    def download_all(self, files: Mapping[str, tuple[Path, Seal | None]]) -> None:
        """Copy several objects to this machine at the same time; see `download`."""
        _run_together(lambda name: self.download(name, *files[name]), files)

    def list(self, folder: str) -> list[str]:
        """Return the names of the objects and folders in a folder, sorted; it need not exist."""
        with self._translate_errors():
            try:
                found = self._fs.ls(self._locate(folder), detail=False, refresh=True)
            except FileNotFoundError:
                return []
        names = {str(path).rstrip("/").rpartition("/")[2] for path in found}
        return sorted(name for name in names if not name.startswith("."))

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects; those that are gone already do not matter."""

        def drop(name: str) -> None:
            with contextlib.suppress(FileNotFoundError), self._translate_errors():
                self._fs.rm_file(self._locate(name))

        _run_together(drop, list(names))

    def remove_folder(self, name: str) -> None:
        """Remove all objects in a folder; it need not exist.

        Raises:
            OSError: The store does not answer.
        """
        with contextlib.suppress(FileNotFoundError), self._translate_errors():
            self._fs.rm(self._locate(name), recursive=True)

    def _locate(self, name: str) -> str:
        return f"{self._root}/{name}"

    @contextlib.contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Raise `OSError` for what goes wrong: each store's library has errors of its own."""
        try:
            yield
        except OSError:
            raise
        except Exception as error:
            kind = type(error).__name__
            raise OSError(errno.EIO, f"{self.url} does not answer ({kind}: {error})") from error


def _open_filesystem(url: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs  # takes a while; needed for shared stores alone

    try:
        # What others have written is to be seen.
        fs, root = url_to_fs(url, use_listings_cache=False)
    except (ImportError, ValueError) as error:
        raise ConfigError(
            f"{url!r} cannot be opened: {error}; give an address that fsspec knows, and install "
            "what it needs (for s3:// pip install 'pace-integrations[s3]')"
        ) from error
    return fs, str(root).rstrip("/")


def _protocols(fs: Any) -> Sequence[str]:  # noqa: ANN401 - fsspec is untyped
    return [fs.protocol] if isinstance(fs.protocol, str) else list(fs.protocol)


def _create_file(path: Path, data: bytes) -> bool:
    """Write a file under a name that one process alone can take, whole from the first moment."""
    beside = _write_beside(path, data)
    try:
        os.link(beside, path)
    except FileExistsError:
        return False
    finally:
        remove_file(beside)
    return True


def _replace_file(path: Path, data: bytes) -> None:
    _write_beside(path, data).replace(path)


def _write_beside(path: Path, data: bytes) -> Path:
    make_folder(path.parent)
    beside = path.with_name(f".{path.name}-{uuid.uuid4().hex[:12]}.tmp")
    with create_file(beside) as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    return beside


def _run_together(work: Any, items: Iterable[Any]) -> list[Any]:  # noqa: ANN401 - a plain map
    """Return what a function gives for each item, several at the same time."""
    given = list(items)
    if len(given) < 2:
        return [work(item) for item in given]
    with ThreadPoolExecutor(min(_AT_ONCE, len(given))) as pool:
        return list(pool.map(work, given))
