"""Which files are on a store that several machines reach, listed in parts that never change.

Any writer adds a part at any time, under a name that nobody else makes, and all that are there
count. Who takes files off, or joins many small parts to few, writes the joined parts first, which
do not count yet, and then creates the next ``manifest-00000007.json``, under a number that one
writer alone can take: it names the joined parts that count, and the added ones that no longer do.
Who comes second looks again. Objects go only after a manifest has put them out of use.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass

from pace_integrations.store.shared_folder import Seal, SharedFolder, is_plain_name

_NUMBERED = re.compile(r"(manifest|joined)-(\d{8})\b.*")
_MOST = 32  # added parts that are looked through until they are joined
_ROWS = 4096  # files in a joined part; a full one is not written again for what is added
_KEPT = 64  # manifests: a slow writer must find that its number is taken
_ATTEMPTS = 8  # while other writers make manifests
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SharedFile:
    """A file of tensors on a shared store.

    Attributes:
        seal: What its bytes must be.
        blocks: Keys of the blocks in it.
    """

    seal: Seal
    blocks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """Which parts count, beside those that were added since.

    Attributes:
        number: Its number; 0 before the first one.
        joined: Names of joined parts that count.
        retired: Names of added parts that do not count.
    """

    number: int = 0
    joined: tuple[str, ...] = ()
    retired: tuple[str, ...] = ()


class SharedParts:
    """The list of files in a folder of a shared store.

    Args:
        shared: The store.
        folder: Where the parts are.
    """

    def __init__(self, shared: SharedFolder, folder: str) -> None:
        self._shared = shared
        self._folder = folder
        self._manifest = Manifest()
        self._parts: dict[str, Mapping[str, SharedFile]] = {}
        self._files: dict[str, SharedFile] | None = None

    @property
    def files(self) -> Mapping[str, SharedFile]:
        """The files by name, as of the last look."""
        if self._files is None:
            self._files = {name: f for part in self._parts.values() for name, f in part.items()}
        return self._files

    @property
    def number(self) -> int:
        """Number of the newest manifest, as of the last look; it grows when files are taken off."""
        return self._manifest.number

    def refresh(self) -> None:
        """Take in what others have added or taken off.

        Raises:
            OSError: The store does not answer.
        """
        missing: list[str] = []
        for _ in range(_ATTEMPTS):
            names = self._shared.list(self._folder)
            with contextlib.suppress(FileNotFoundError):  # a newer one has come meanwhile
                manifest = self._load_manifest(names)
                added = [n for n in names if _is_added(n)]
                counted = [*manifest.joined, *(n for n in added if n not in manifest.retired)]
                parts = {n: self._parts[n] for n in counted if n in self._parts}
                parts |= self._read_parts(n for n in counted if n not in parts)
                self._manifest, self._parts, self._files = manifest, parts, None
                missing = [name for name in counted if name not in parts]
                if not missing:
                    return
        for name in missing:
            self._complain(name, FileNotFoundError("it is gone"))
        self._parts |= {name: {} for name in missing}

    def add(self, files: Mapping[str, SharedFile]) -> None:
        """List files that were sent.

        Raises:
            OSError: The store does not take it.
        """
        name = f"{uuid.uuid4().hex}.json"
        self._write_part(name, files)
        self._parts[name] = dict(files)
        self._files = None
        if sum(map(_is_added, self._parts)) >= _MOST:
            with contextlib.suppress(OSError):  # the next one that is added joins them
                self._join()

    def remove(self, leaves: Callable[[str], bool]) -> list[str]:
        """Take files off the list.

        Args:
            leaves: Whether the file of a name goes.

        Returns:
            The names that were taken off.

        Raises:
            OSError: The store does not answer, or others change it all the time.
        """
        for _ in range(_ATTEMPTS):
            touched = {n: p for n, p in self._parts.items() if any(map(leaves, p))}
            kept = {k: f for part in touched.values() for k, f in part.items() if not leaves(k)}
            gone = {name for part in touched.values() for name in part if name not in kept}
            if not touched or self._replace(touched, kept):
                return sorted(gone)
            self.refresh()
        raise OSError(f"{self._shared.url} changes all the time; try again later")

    def _join(self) -> None:
        """Make few parts of many small ones, unless another writer was faster."""
        small = {n: p for n, p in self._parts.items() if _is_added(n) or len(p) < _ROWS}
        files = {name: file for part in small.values() for name, file in part.items()}
        if not self._replace(small, files):
            self.refresh()

    def _replace(self, old: Collection[str], files: Mapping[str, SharedFile]) -> bool:
        """Let joined parts of some files count in place of other parts.

        Returns:
            False, with nothing changed, where another writer has made a manifest since the last
            look.
        """
        number, names = self._manifest.number + 1, self._shared.list(self._folder)
        new = {f"joined-{number:08}-{uuid.uuid4().hex}.json": part for part in _divide(files)}
        for name, part in new.items():
            self._write_part(name, part)
        made = Manifest(
            number,
            (*(name for name in self._manifest.joined if name not in old), *new),
            tuple(n for n in names if n in old or n in self._manifest.retired),
        )
        data = json.dumps({"joined": made.joined, "retired": made.retired}).encode()
        place = self._locate(f"manifest-{number:08}.json")
        # A store's library may send again what has arrived, and then find its own.
        if not self._shared.create(place, data) and self._shared.read(place) != data:
            return False
        self._parts = {n: p for n, p in self._parts.items() if n not in old} | new
        self._manifest, self._files = made, None
        with contextlib.suppress(OSError):  # what stays does not count
            self._shared.remove(self._locate(name) for name in names if _is_done(name, made))
        return True

    def _load_manifest(self, names: Collection[str]) -> Manifest:
        numbers = [int(m[2]) for m in map(_NUMBERED.fullmatch, names) if m and m[1] == "manifest"]
        number = max(numbers, default=0)
        if not number or number == self._manifest.number:
            return self._manifest if number else Manifest()
        name = f"manifest-{number:08}.json"
        try:
            saved = json.loads(self._shared.read(self._locate(name)))
            lists = [tuple(filter(is_plain_name, saved[key])) for key in ("joined", "retired")]
            return Manifest(number, *lists)
        except (ValueError, KeyError, TypeError) as error:
            self._complain(name, error)
            return Manifest(number)

    def _read_parts(self, names: Iterator[str]) -> dict[str, Mapping[str, SharedFile]]:
        """Return those of some parts that are there; a damaged one lists nothing."""
        parts: dict[str, Mapping[str, SharedFile]] = {}
        for place, data in self._shared.read_all(map(self._locate, names)).items():
            name = place.rpartition("/")[2]
            try:
                parts[name] = _parse_part(data)
            except (ValueError, KeyError, TypeError) as error:
                self._complain(name, error)
                parts[name] = {}
        return parts

    def _write_part(self, name: str, files: Mapping[str, SharedFile]) -> None:
        rows = {key: {**asdict(file.seal), "blocks": file.blocks} for key, file in files.items()}
        self._shared.write(self._locate(name), json.dumps({"files": rows}).encode())

    def _locate(self, name: str) -> str:
        return f"{self._folder}/{name}"

    def _complain(self, name: str, error: Exception) -> None:
        place = f"{self._shared.url}/{self._locate(name)}"
        _log.warning("%s is damaged, what it lists is read again: %s", place, error)


def _parse_part(data: bytes) -> dict[str, SharedFile]:
    rows = json.loads(data)["files"]
    return {
        name: SharedFile(Seal(row["bytes"], row["sha256"]), tuple(row["blocks"]))
        for name, row in rows.items()
        if is_plain_name(name)
    }


def _divide(files: Mapping[str, SharedFile]) -> Iterator[dict[str, SharedFile]]:
    rows = [*files.items()]
    for start in range(0, len(rows), _ROWS):
        yield dict(rows[start : start + _ROWS])


def _is_added(name: str) -> bool:
    return _NUMBERED.fullmatch(name) is None


def _is_done(name: str, newest: Manifest) -> bool:
    """Return True for an object that cannot count any more, whatever other writers do."""
    if name in newest.retired:
        return True
    if (match := _NUMBERED.fullmatch(name)) is None:
        return False
    if match[1] == "manifest":
        return int(match[2]) <= newest.number - _KEPT
    # Who wrote it for a number that is taken has lost it, or was ended on the way.
    return int(match[2]) <= newest.number and name not in newest.joined
