"""Files of tensors on a store that several machines reach, and which block lies in which.

``URL/states/<model>/`` and ``URL/index/<model>/`` hold the files, each named by its document and a
hash of its content, so that two machines that read the same page write the same object.
``URL/parts/...`` says what is in them: what lists a file is written after it, and what nothing
lists is not there. What was written on this machine and not sent is noted beside the copies.
"""

from __future__ import annotations

import contextlib
import logging
from collections import ChainMap
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from pathlib import Path

from pace_integrations.library.shared_parts import SharedFile, SharedParts
from pace_integrations.library.unsent_notes import UnsentNotes
from pace_integrations.store.shared_folder import Seal, SharedFolder

_log = logging.getLogger(__name__)


class SharedShelf:
    """The files of one kind for one model.

    Args:
        shared: The library on the store.
        kind: ``"states"`` or ``"index"``.
        model: Key of the model.
        copies: Folder of the files on this machine.
    """

    def __init__(self, shared: SharedFolder, kind: str, model: str, copies: Path) -> None:
        self._shared = shared
        self._folder = f"{kind}/{model}"
        self._parts = SharedParts(shared, f"parts/{kind}/{model}")
        self._copies = copies
        self._notes = UnsentNotes(copies)
        self._unsent: dict[Path, SharedFile] = {}

    @property
    def files(self) -> Mapping[str, SharedFile]:
        """The files by name, those that were not sent yet among them."""
        unsent = {path.name: file for path, file in self._unsent.items()}
        return ChainMap(unsent, dict(self._parts.files)) if unsent else self._parts.files

    def refresh(self) -> bool:
        """Take in what others have written or removed; without an answer all stays as it was.

        Returns:
            Whether the store has answered.
        """
        try:
            self._parts.refresh()
        except OSError as error:
            _log.warning("pages that others have read are not seen: %s", error)
            return False
        return True

    def list_noted(self) -> set[str]:
        """Return the names of files that any process of this machine has still to send."""
        return self._notes.names()

    def take_over(
        self, list_blocks: Callable[[Path], Sequence[str]], wanted: Container[str]
    ) -> set[str]:
        """Take over for `send` what processes of this machine have left that were ended.

        Args:
            list_blocks: Returns the blocks in a file; none where it is damaged or gone.
            wanted: Blocks of the library.

        Returns:
            The names of files that are not to be sent: they are on the store, or were removed
            from there, or hold no block that is wanted.
        """
        left = set()
        for name, number in self._notes.take_over().items():
            path = self._copies / name
            removed = number is not None and number != self._parts.number
            blocks = () if removed or name in self._parts.files else list_blocks(path)
            with contextlib.suppress(OSError):  # gone meanwhile
                if any(block in wanted for block in blocks):
                    self.note(path, blocks)
                    continue
            left.add(name)
        self._notes.discard(left)
        return left

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

    def announce(self, path: Path) -> None:
        """Note on disk that a file is about to be written on this machine.

        Raises:
            OSError: The folder cannot be written.
        """
        self._notes.add(path.name)

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
            self._notes.mark(self._parts.number)
            self._parts.add({path.name: file for path, file in ready.items()})
        self._notes.discard(path.name for path in self._unsent)
        self._unsent.clear()

    def remove(self, leaves: Callable[[str], bool]) -> None:
        """Remove the files of some names from the store.

        Args:
            leaves: Whether the file of a name goes.
        """
        going = [path for path in self._unsent if leaves(path.name)]
        for path in going:
            del self._unsent[path]
        self._notes.discard(path.name for path in going)
        # What lists a file goes before it: what is listed is there.
        gone = self._parts.remove(leaves)
        self._shared.remove(f"{self._folder}/{name}" for name in gone)


def list_shelves(shared: SharedFolder, kind: str, folder: Path) -> list[SharedShelf]:
    """Return the shelves of all models, for what concerns all of them.

    Args:
        shared: The library on the store.
        kind: ``"states"`` or ``"index"``.
        folder: What is copied of it on this machine.
    """
    models = shared.list(f"parts/{kind}")
    shelves = [SharedShelf(shared, kind, model, folder / kind / model) for model in models]
    for shelf in shelves:
        shelf.refresh()
    return shelves
