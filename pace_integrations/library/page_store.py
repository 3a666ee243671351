"""Page states on disk: a cache that any number of processes share, within a budget of bytes.

``states/<model>/`` holds safetensors files of blocks, each under the hash of what was read, and
``index/<model>/`` the small vectors by which they are found. A file is written beside its place
and moved there whole, and says itself which blocks it holds and what their bytes must be. So
there is nothing else to keep in step: a file that is missing, damaged or evicted is a page that is
read again when it is chosen.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import torch
from safetensors import SafetensorError
from torch import Tensor

from pace_integrations._files import remove_file
from pace_integrations.library.tensor_shelf import TensorShelf
from pace_integrations.model.kv_cache.int8 import pack_int8, unpack_int8
from pace_integrations.model.pages import BlockState

_TOUCH = 60.0  # seconds within which one use of a file is as good as another
_ABANDONED = 3600.0  # seconds after which a file that was never moved into place is nobody's
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
        budget: Most bytes of states, of all models together.
    """

    def __init__(
        self, folder: Path, model: str, *, packed: bool, budget: int, index: str = ""
    ) -> None:
        self.folder = folder
        self.budget = budget
        self._packed = packed
        self._lock = threading.RLock()
        self._states = TensorShelf(folder / "states" / model)
        self._index = TensorShelf(folder / "index" / f"{model}{index}")
        _remove_abandoned(self._states.folder, self._index.folder)

    def __contains__(self, key: str) -> bool:
        return key in self._states.places

    @_locked
    def refresh(self) -> None:
        """Take in what other processes have written or removed."""
        self._states.refresh()
        self._index.refresh()

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
        tensors, hashes, shape = dict[str, Tensor](), dict[str, str](), dict[str, Any]()
        for key, state in states.items():
            pair = [state.keys, state.values]
            shape = {"sizes": [t.shape[-1] for t in pair], "dtype": _dtype_name(pair[0].dtype)}
            pair = [pack_int8(t) for t in pair] if self._packed else pair
            tensors |= {f"{key}.keys": pair[0], f"{key}.values": pair[1]}
            hashes[key] = _hash_tensors(pair)
        facts = {"blocks": hashes, "packed": self._packed, **shape}
        if tensors:
            self._states.write(document, tensors, facts)
        small = {k: (v * 127).round().to(torch.int8) for k, v in vectors.items() if v.numel()}
        if small:
            hashes = {key: _hash_tensors([tensor]) for key, tensor in small.items()}
            self._index.write(document, small, {"blocks": hashes})
        self.prune()

    @_locked
    def load(self, key: str) -> BlockState | None:
        """Return the state of a block, mapped from disk, or None where it must be read again."""
        path = self._states.places.get(key)
        if path is None:
            return None
        try:
            handle, facts = self._states.open(path), self._states.read_facts(path)
            pair = [handle.get_tensor(f"{key}.{name}") for name in ("keys", "values")]
            if _hash_tensors(pair) != facts["blocks"][key]:
                raise ValueError("its bytes were changed")
            if facts["packed"]:
                dtype = getattr(torch, facts["dtype"])
                pair = [
                    unpack_int8(t, size, dtype)
                    for t, size in zip(pair, facts["sizes"], strict=True)
                ]
            _touch(path)
            return BlockState(*pair)
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            if not isinstance(error, FileNotFoundError):
                _log.warning("%s is damaged (%s); its pages are read again", path, error)
            self._states.drop(path)
            return None

    @_locked
    def vectors(self, key: str) -> Tensor | None:
        """Return the index vectors of a block as int8, mapped from disk, or None."""
        path = self._index.places.get(key)
        if path is None:
            return None
        try:
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
            self._states.drop(path)
            removed += size
        return removed

    @_locked
    def keep_only(self, keys: Collection[str], documents: Collection[str]) -> None:
        """Remove files of documents that are gone, and those in which no block is wanted.

        Args:
            keys: The blocks that are wanted.
            documents: The documents of the library.
        """
        for shelf in (self._states, self._index):
            wanted = {shelf.places[key] for key in keys if key in shelf.places}
            for path in [p for p in shelf.sizes() if p not in wanted]:
                shelf.drop(path)
        for kind in ("states", "index"):  # of other models too
            for files in self._all_shelves(kind):
                for path in files:
                    if path.name.split("-")[0] not in documents:
                        remove_file(path)

    @_locked
    def wipe(self) -> None:
        """Remove all states, of every model; the index and the texts stay."""
        for files in self._all_shelves("states"):
            for path in files:
                self._states.drop(path)

    @_locked
    def size(self) -> StoreSize:
        """Return what it takes up."""
        own = sum(status.st_size for status in self._states.sizes().values())
        index = sum(status.st_size for status in self._index.sizes().values())
        everything = sum(s.st_size for files in self._all_shelves("states") for s in files.values())
        return StoreSize(len(self._states.places), own, index, everything)

    def _all_shelves(self, kind: str) -> Iterator[dict[Path, os.stat_result]]:
        for folder in sorted((self.folder / kind).glob("*")):
            found = {}
            for path in folder.glob("*.safetensors"):
                with contextlib.suppress(OSError):
                    found[path] = path.stat()
            yield found


def _hash_tensors(tensors: Sequence[Tensor]) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _touch(path: Path) -> None:
    with contextlib.suppress(OSError):
        if time.time() - path.stat().st_mtime > _TOUCH:
            os.utime(path)


def _remove_abandoned(*folders: Path) -> None:
    """Remove what processes that were killed left half written."""
    for folder in folders:
        for path in folder.glob(".*.tmp"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > _ABANDONED:
                    remove_file(path)
