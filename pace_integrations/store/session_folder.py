"""Read state on disk: written atomically, opened only by the model that read it.

``NAME.pace/`` holds ``manifest.json`` and one folder of data that the manifest names:
``corpus.jsonl``, ``kv.safetensors`` and, with the memory on, ``memory.safetensors``. A save writes
a new folder beside the old one and then replaces the manifest, which is the one step that counts:
interrupted before it, the old session is whole; after it, the new one. There is no pickle.

Tensors are streamed to disk as the cache holds them and mapped from disk when they are opened, so
that neither takes a second copy in memory. Nothing ever writes into a mapped tensor.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import Timeout
from safetensors import safe_open

from pace_integrations._files import create_file, make_folder, make_lock, sync
from pace_integrations.documents import Corpus
from pace_integrations.errors import SessionFileError
from pace_integrations.store import manifest as manifests
from pace_integrations.store.contents import (
    UNREADABLE,
    check_tensor_file,
    list_tensor_files,
    load_corpus,
)
from pace_integrations.store.manifest import (
    CORPUS,
    Verify,
    check_files,
    check_namespace,
    damage_error,
)
from pace_integrations.store.ownership import (
    claim_folder,
    clear_up,
    find_current_data,
    list_noted_data,
    note_saving,
    save_error,
)
from pace_integrations.store.safetensors_writer import Parts, write_tensors

_ATTEMPTS = 64  # of a reader, while other processes replace the session under its hands


@dataclass(frozen=True, slots=True)
class SavedSession:
    """What a saved session holds.

    Attributes:
        tokens: Tokens read.
        corpus: What was read.
        tensors: Tensors by the name of their file, mapped from disk.
    """

    tokens: int
    corpus: Corpus
    tensors: Mapping[str, dict[str, torch.Tensor]]


def write_session(
    path: Path,
    *,
    fingerprint: Mapping[str, Any],
    tokens: int,
    corpus: Corpus,
    tensors: Mapping[str, Parts],
    namespace: str | None = None,
) -> None:
    """Save a session, replacing one that is there.

    Args:
        path: The session's folder.
        fingerprint: Identity of the model and its memory, JSON-ready.
        tokens: Tokens read.
        corpus: What was read.
        tensors: Tensors in parts, by the name of their file.
        namespace: Whose it is; it opens under no other.

    Raises:
        SessionFileError: The folder holds something else, is being written by another process, or
            cannot be written.
    """
    facts = {
        "fingerprint": dict(fingerprint),
        "namespace": check_namespace(namespace),
        "tokens": tokens,
    }
    claim_folder(path)
    try:
        with make_lock(path / ".lock", timeout=0):
            _write_files(path, facts, corpus, tensors)
    except Timeout:
        raise SessionFileError(
            f"{str(path)!r} is being saved by another process; wait for it or choose another name"
        ) from None
    except OSError as error:
        raise save_error(path, error) from error


def _write_files(
    path: Path, facts: dict[str, Any], corpus: Corpus, tensors: Mapping[str, Parts]
) -> None:
    with contextlib.suppress(SessionFileError):
        clear_up(path)  # what a killed process left
    folder = path / f"data-{uuid.uuid4().hex[:12]}"
    note_saving(path, folder.name, *list_noted_data(path), *find_current_data(path))
    try:
        make_folder(folder)
        hashes = {CORPUS: _write_corpus(folder / CORPUS, corpus)}
        hashes |= {n: write_tensors(folder / n, t, folder.name) for n, t in tensors.items()}
        for name in hashes:
            sync(folder / name)
        sync(folder)
        files = {n: {"bytes": (folder / n).stat().st_size, "sha256": h} for n, h in hashes.items()}
        manifest = {
            "format": manifests.FORMAT,
            **facts,
            "data": folder.name,
            "files": files,
            "documents": [document.title for document in corpus.documents],
            "report": corpus.report.to_dict(),
        }
        manifests.write_manifest(path, manifest)
    finally:
        # The same before and after the manifest was replaced: it says what is garbage.
        with contextlib.suppress(OSError, SessionFileError):
            clear_up(path)


def read_session(
    path: Path,
    *,
    fingerprint: Mapping[str, Any],
    verify: Verify = "full",
    namespace: str | None = None,
) -> SavedSession:
    """Open a saved session.

    Args:
        path: The session's folder.
        fingerprint: Identity of the model that opens it.
        verify: ``"full"`` hashes every file; ``"fast"`` only compares the sizes of tensor files.
        namespace: Whose session it must be.

    Raises:
        SessionFileError: There is no session, or it is damaged or of another format.
        IncompatibleSessionError: It belongs to another model, configuration or namespace.
    """
    check_namespace(namespace)
    for _ in range(_ATTEMPTS):
        manifest = manifests.load_manifest(path)
        manifests.compare_namespace(path, manifest, namespace)
        manifests.compare_fingerprint(path, manifest, fingerprint)
        try:
            check_files(path, manifest, verify)
            return _load_contents(path, manifest)
        except SessionFileError:
            if manifests.load_manifest(path)["data"] == manifest["data"]:
                raise
            # Another process replaced the session meanwhile; the new one is as good.
    raise SessionFileError(f"{str(path)!r} is being replaced all the time; try again later")


def _load_contents(path: Path, manifest: Mapping[str, Any]) -> SavedSession:
    folder = path / manifest["data"]
    try:
        corpus = load_corpus(path, manifest)
        tensors = {name: _load_tensors(folder / name) for name in list_tensor_files(manifest)}
        return SavedSession(int(manifest["tokens"]), corpus, tensors)
    except UNREADABLE as error:
        raise damage_error(path, f"{type(error).__name__}: {error}") from error


def _load_tensors(file: Path) -> dict[str, torch.Tensor]:
    """Return tensors mapped from a file that belongs to the folder it lies in."""
    check_tensor_file(file)
    with safe_open(file, framework="pt") as stream:
        return {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 - no dict


def _write_corpus(file: Path, corpus: Corpus) -> str:
    text = "\n".join(json.dumps(document.to_dict()) for document in corpus.documents)
    with create_file(file) as stream:
        stream.write(text.encode("ascii"))
    return hashlib.sha256(text.encode()).hexdigest()
