"""Page states on disk: a cache that any number of processes share, within a budget of bytes.

``states/<model>/`` holds safetensors files of blocks, each under the hash of what was read, and
``index/<model>/`` the small vectors by which they are found. A file is written beside its place
and moved there whole, and says itself which blocks it holds and what their bytes must be. So
there is nothing else to keep in step: a file that is missing, damaged or evicted is a page that is
read again when it is chosen.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Collection, Container, Mapping
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import torch
from safetensors import SafetensorError
from torch import Tensor

from pace_integrations._files import remove_file
from pace_integrations.errors import LibraryFileError
from pace_integrations.library.shared_shelf import SharedShelf, list_shelves
from pace_integrations.library.state_files import (
    document_of,
    dtype_name,
    hash_tensors,
    measure_files,
    remove_abandoned,
    remove_shared,
    touch_used,
)
from pace_integrations.library.tensor_shelf import TensorShelf
from pace_integrations.model.kv_cache.int8 import pack_int8, unpack_int8
from pace_integrations.model.pages import BlockState
from pace_integrations.store.shared_folder import SharedFolder

_SEND = 64 * 2**20  # bytes read here until they are sent to where others find them
_log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StoreSize:
    """The size of a store.

    Attributes:
        blocks: Blocks whose states are there.
        state_bytes: Bytes of states, of this model.
        index_bytes: Bytes of the vectors they are found by.
        all_bytes: Bytes of states of all models, which the budget bounds.
    """

    blocks: int
    state_bytes: int
    index_bytes: int
    all_bytes: int


def _locked(method: Callable[P, T]) -> Callable[P, T]:
    """Let one thread at a time into the methods of a store."""

    @wraps(method)
    def run(*args: P.args, **options: P.kwargs) -> T:
        store: Any = args[0]
        with store._lock:
            return method(*args, **options)

    return run


class PageStore:
    """States and index of the blocks of one library, as one model read them.

    Args:
        folder: The library's folder.
        model: Key of the model and of how it reads.
        index: What is added to that key where an index of its own is kept for the model.
        packed: Whether states are kept in eight bits: half of bfloat16's size.
        budget: Most bytes of states on this machine, of all models together.
        shared: The library where several machines reach it; the folder then holds copies.
    """

    def __init__(
        self,
        folder: Path,
        model: str,
        *,
        packed: bool,
        budget: int,
        index: str = "",
        shared: SharedFolder | None = None,
    ) -> None:
        self.folder = folder
        self.budget = budget
        self._packed = packed
        self._shared = shared
        self._lock = threading.RLock()
        self._states = self._make_shelf("states", model)
        self._index = self._make_shelf("index", f"{model}{index}")
        remove_abandoned(self._states.folder, self._index.folder)

    def _make_shelf(self, kind: str, model: str) -> TensorShelf:
        folder, given = self.folder / kind / model, self._shared
        own = SharedShelf(given, kind, model, folder) if given is not None else None
        return TensorShelf(folder, own)

    def __contains__(self, key: str) -> bool:
        return key in self._states.places

    @_locked
    def refresh(self, wanted: Container[str] | None = None) -> None:
        """Take in what other processes have written or removed.

        Args:
            wanted: The library's blocks; with them, `send` also sends what ended processes left.
        """
        self._states.refresh(wanted)
        self._index.refresh(wanted)

    @_locked
    def put(
        self, document: str, states: Mapping[str, BlockState], vectors: Mapping[str, Tensor]
    ) -> None:
        """Keep blocks of a document.

        Args:
            document: The document's key in the library.
            states: States by the block's key; none where only the vectors are kept.
            vectors: Index vectors of the same blocks ``(tokens, heads, size)``, of unit length.
        """
        if self._shared is None:
            self._write_states(document, states)
        else:  # a file of each, so that a question fetches no more than it needs
            for key, state in states.items():
                self._write_states(document, {key: state})
        small = {k: (v * 127).round().to(torch.int8) for k, v in vectors.items() if v.numel()}
        if small:
            hashes = {key: hash_tensors([tensor]) for key, tensor in small.items()}
            self._index.write(document, small, {"blocks": hashes})
        if self._unsent_bytes() > _SEND:
            self.send()
        self.prune()

    def _write_states(self, document: str, states: Mapping[str, BlockState]) -> None:
        tensors, hashes, shape = dict[str, Tensor](), dict[str, str](), dict[str, Any]()
        for key, state in states.items():
            pair = [state.keys, state.values]
            shape = {"sizes": [t.shape[-1] for t in pair], "dtype": dtype_name(pair[0].dtype)}
            pair = [pack_int8(t) for t in pair] if self._packed else pair
            tensors |= {f"{key}.keys": pair[0], f"{key}.values": pair[1]}
            hashes[key] = hash_tensors(pair)
        if tensors:
            facts = {"blocks": hashes, "packed": self._packed, **shape}
            self._states.write(document, tensors, facts)

    def _unsent_bytes(self) -> int:
        shelves = (self._states.shared, self._index.shared)
        return sum(shelf.unsent_bytes for shelf in shelves if shelf is not None)

    @_locked
    def send(self, *, must: bool = False) -> None:
        """Send what was read here to where other machines find it; without one, do nothing.

        Args:
            must: Whether it is an error if the store does not take it; otherwise the next call
                tries again.

        Raises:
            LibraryFileError: The store does not take it.
        """
        for shelf in (self._index.shared, self._states.shared):
            try:
                if shelf is not None:
                    shelf.send()
            except OSError as error:
                what = f"pages that were read here are not shared: {error.strerror or error}"
                if must:
                    raise LibraryFileError(f"{what}; check the store and read again") from error
                _log.warning("%s", what)

    @_locked
    def load(self, key: str) -> BlockState | None:
        """Return the state of a block, mapped from disk, or None where it must be read again."""
        path = self._states.find(key)
        if path is None:
            return None
        state = self._load_from(path, key)
        if state is None and self._shared is not None:  # the copy may be at fault
            state = self._load_from(path, key)
        if state is None:
            self._states.drop(path)
        elif self._shared is not None:
            self.prune()
        return state

    def _load_from(self, path: Path, key: str) -> BlockState | None:
        try:
            handle, facts = self._states.open(path), self._states.read_facts(path)
            pair = [handle.get_tensor(f"{key}.{name}") for name in ("keys", "values")]
            touch_used(path)
            self._states.check(path, key, pair)
            if facts["packed"]:
                dtype = getattr(torch, facts["dtype"])
                pair = [unpack_int8(t, n, dtype) for t, n in zip(pair, facts["sizes"], strict=True)]
            return BlockState(*pair)
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            if not isinstance(error, FileNotFoundError):
                _log.warning("%s is damaged (%s); its pages are read again", path, error)
            self._states.evict(path)
            return None

    @_locked
    def vectors(self, key: str) -> Tensor | None:
        """Return the index vectors of a block as int8, mapped from disk, or None."""
        path = self._index.find(key)
        if path is None:
            return None
        try:
            if self._shared is not None and not path.exists():
                self._index.fetch_all()  # a search looks at all of them
            tensor: Tensor = self._index.open(path).get_tensor(key)
            return tensor
        except (OSError, SafetensorError):
            self._index.drop(path)
            return None

    @_locked
    def prune(self) -> int:
        """Remove the states used longest ago until the rest fits the budget; gives their bytes."""
        files = []
        for shelf in self._all_shelves("states"):
            files += [(s.st_mtime_ns, s.st_size, path) for path, s in shelf.items()]
        surplus = sum(size for _, size, _ in files) - self.budget
        removed = 0
        for _, size, path in sorted(files):
            if removed >= surplus:
                break
            self._states.evict(path)
            removed += size
        return removed

    @_locked
    def keep_only(
        self, keys: Collection[str], documents: Collection[str], gone: Collection[str] = ()
    ) -> None:
        """Remove files of documents that are gone, and those in which no block is wanted.

        Args:
            keys: The blocks that are wanted.
            documents: The documents of the library.
            gone: Documents that were removed. Of any others nothing goes from a shared store:
                another writer may have added them since.
        """
        for shelf in (self._states, self._index):
            wanted = {shelf.places[key] for key in keys if key in shelf.places}
            if shelf.shared is not None:
                own, kept = {*documents, *gone}, {path.name for path in wanted}
                old = {n for n in shelf.shared.files if n not in kept and document_of(n) in own}
                remove_shared([shelf.shared], old.__contains__)
            for path in [p for p in {*shelf.sizes(), *shelf.places.values()} if p not in wanted]:
                shelf.drop(path)
        for kind in ("states", "index"):  # of other models too
            if self._shared is not None and gone:
                shelves = list_shelves(self._shared, kind, self.folder)
                remove_shared(shelves, lambda n: document_of(n) in gone)
            for files in self._all_shelves(kind):
                for path in files:
                    if document_of(path.name) not in documents:
                        remove_file(path)

    @_locked
    def wipe(self) -> None:
        """Remove all states, of every model; the index and the texts stay."""
        if self._shared is not None:
            remove_shared(list_shelves(self._shared, "states", self.folder), lambda _: True)
        for files in self._all_shelves("states"):
            for path in files:
                self._states.drop(path)
        self._states.refresh()

    @_locked
    def size(self) -> StoreSize:
        """Return what it takes up."""
        own = sum(status.st_size for status in self._states.sizes().values())
        index = sum(status.st_size for status in self._index.sizes().values())
        everything = sum(s.st_size for files in self._all_shelves("states") for s in files.values())
        return StoreSize(len(self._states.places), own, index, everything)

    def _all_shelves(self, kind: str) -> list[dict[Path, os.stat_result]]:
        return [measure_files(folder) for folder in sorted((self.folder / kind).glob("*"))]
