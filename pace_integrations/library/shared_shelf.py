"""Files of tensors on a store that several machines reach, and which block lies in which.

``URL/states/<model>/`` and ``URL/index/<model>/`` hold the files, each named by its document and a
hash of its content, so that two machines that read the same page write the same object.
``URL/parts/...`` says what is in them: what lists a file is written after it, and what nothing
lists is not there.
"""

from __future__ import annotations

import logging
from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from pace_integrations.library.shared_parts import SharedFile, SharedParts
from pace_integrations.store.shared_folder import Seal, SharedFolder

_log = logging.getLogger(__name__)


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
        self._parts = SharedParts(shared, f"parts/{kind}/{model}")
        self._unsent: dict[Path, SharedFile] = {}

    @property
    def files(self) -> Mapping[str, SharedFile]:
        """The files by name, those that were not sent yet among them."""
        unsent = {path.name: file for path, file in self._unsent.items()}
        return ChainMap(unsent, dict(self._parts.files)) if unsent else self._parts.files

    def refresh(self) -> None:
        """Take in what others have written or removed; without an answer all stays as it was."""
        try:
            self._parts.refresh()
        except OSError as error:
            _log.warning("pages that others have read are not seen: %s", error)

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
            self._parts.add({path.name: file for path, file in ready.items()})
        self._unsent.clear()

    def remove(self, leaves: Callable[[str], bool]) -> None:
        """Remove the files of some names from the store.

        Args:
            leaves: Whether the file of a name goes.
        """
        self._unsent = {p: file for p, file in self._unsent.items() if not leaves(p.name)}
        # What lists a file goes before it: what is listed is there.
        gone = self._parts.remove(leaves)
        self._shared.remove(f"{self._folder}/{name}" for name in gone)


def list_shelves(shared: SharedFolder, kind: str) -> list[SharedShelf]:
    """Return the shelves of all models, for what concerns all of them."""
    shelves = [SharedShelf(shared, kind, model) for model in shared.list(f"parts/{kind}")]
    for shelf in shelves:
        shelf.refresh()
    return shelves
