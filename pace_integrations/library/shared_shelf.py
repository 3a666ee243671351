"""Files of tensors on a store that several machines reach, and which block lies in which.

``URL/states/<model>/`` and ``URL/index/<model>/`` hold the files, each named by its document and a
hash of its content, so that two machines that read the same page write the same object.
``URL/parts/...`` says what is in them: a part is written after the files that it lists, and what no
part lists is not there.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pace_integrations.store.shared_folder import Seal, SharedFolder, is_plain_name

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


class SharedShelf:
    """The files of one kind for one model.

    Args:
        shared: The library on the store.
        kind: ``"states"`` or ``"index"``.
        model: Key of the model.
    """

    def __init__(self, shared: SharedFolder, kind: str, model: str) -> None:
        self._shared = shared
        self._folder = f"{kind}/{model}"
        self._parts = f"parts/{kind}/{model}"
        self._listed: dict[str, dict[str, SharedFile]] = {}
        self._unsent: dict[Path, SharedFile] = {}

    @property
    def files(self) -> dict[str, SharedFile]:
        """The files by name, those that were not sent yet among them."""
        found = {path.name: file for path, file in self._unsent.items()}
        for part in self._listed.values():
            found.update(part)
        return found

    def refresh(self) -> None:
        """Take in what others have written or removed; without an answer all stays as it was."""
        try:
            names = self._shared.list(self._parts)
            new = self._shared.read_all(
                f"{self._parts}/{name}" for name in names if name not in self._listed
            )
        except OSError as error:
            _log.warning("pages that others have read are not seen: %s", error)
            return
        listed = {name: self._listed[name] for name in names if name in self._listed}
        for name, data in new.items():
            try:
                listed[name.rpartition("/")[2]] = _parse_part(data)
            except (ValueError, KeyError, TypeError) as error:
                _log.warning("%s/%s is damaged, it is not read: %s", self._shared.url, name, error)
        self._listed = listed

    def fetch(self, paths: Iterable[Path]) -> None:
        """Copy files to this machine.

        Raises:
            OSError: One is not there or damaged, or the store does not answer.
        """
        files = self.files
        self._shared.download_all(
            {
                f"{self._folder}/{path.name}": (path, files[path.name].seal)
                for path in paths
                if path.name in files
            }
        )

    def note(self, path: Path, blocks: Sequence[str]) -> None:
        """Remember a file that was written on this machine, for `send`."""
        self._unsent[path] = SharedFile(Seal.of_file(path), tuple(blocks))

    @property
    def unsent_bytes(self) -> int:
        """Bytes that were written here and are not on the store yet."""
        return sum(file.seal.bytes for file in self._unsent.values())

    def send(self) -> None:
        """Send what was noted: files first, then the part that lists them.

        Raises:
            OSError: The store does not take it; the next time it is tried again.
        """
        ready = {path: file for path, file in self._unsent.items() if path.exists()}
        if ready:
            self._shared.upload({f"{self._folder}/{path.name}": path for path in ready})
            self._write_part({path.name: file for path, file in ready.items()})
        self._unsent.clear()

    def remove(self, leaves: Callable[[str], bool]) -> None:
        """Remove the files of some names from the store, and what lists them.

        Args:
            leaves: Whether the file of a name goes.
        """
        self._unsent = {p: file for p, file in self._unsent.items() if not leaves(p.name)}
        for part, files in list(self._listed.items()):
            gone = [name for name in files if leaves(name)]
            if gone:
                # What lists a file goes before it: what is listed is there.
                if kept := {name: file for name, file in files.items() if name not in gone}:
                    self._write_part(kept)
                self._shared.remove([f"{self._parts}/{part}"])
                del self._listed[part]
                self._shared.remove(f"{self._folder}/{name}" for name in gone)

    def _write_part(self, files: Mapping[str, SharedFile]) -> None:
        rows = {name: {**asdict(file.seal), "blocks": file.blocks} for name, file in files.items()}
        data = json.dumps({"files": rows}, sort_keys=True).encode()
        part = f"{hashlib.sha256(data).hexdigest()[:32]}.json"
        self._shared.write(f"{self._parts}/{part}", data)
        self._listed[part] = dict(files)


def _parse_part(data: bytes) -> dict[str, SharedFile]:
    rows = json.loads(data)["files"]
    return {
        name: SharedFile(Seal(row["bytes"], row["sha256"]), tuple(row["blocks"]))
        for name, row in rows.items()
        if is_plain_name(name)
    }


def list_shelves(shared: SharedFolder, kind: str) -> list[SharedShelf]:
    """Return the shelves of all models, for what concerns all of them."""
    shelves = [SharedShelf(shared, kind, model) for model in shared.list(f"parts/{kind}")]
    for shelf in shelves:
        shelf.refresh()
    return shelves
