"""Read state on disk: written atomically, opened only by the model that read it.

``NAME.pace/`` holds ``manifest.json`` and one folder of data that the manifest names:
``corpus.jsonl``, ``kv.safetensors`` and, with the memory on, ``memory.safetensors``. A save writes
a new folder beside the old one and then replaces the manifest, which is the one step that counts:
interrupted before it, the old session is whole; after it, the new one. There is no pickle.

Nothing is removed for its name alone. While a save is under way, ``.saving`` lists the data folders
of the old and the new session; clearing up afterwards, or at the next save, removes those of them
that the manifest on disk does not name, and in them only files that a save writes.

Tensors are streamed to disk as the cache holds them and mapped from disk when they are opened, so
that neither takes a second copy in memory. Nothing ever writes into a mapped tensor.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import Timeout
from safetensors import SafetensorError, safe_open

from pace_integrations._files import (
    create_file,
    make_folder,
    make_lock,
    remove_empty_folder,
    remove_file,
    sync,
)
from pace_integrations.documents import Corpus, Document, FileReport, Page, Report
from pace_integrations.errors import SessionFileError
from pace_integrations.store import manifest as manifests
from pace_integrations.store.manifest import (
    CORPUS,
    Verify,
    check_files,
    check_namespace,
    damage_error,
)
from pace_integrations.store.safetensors_writer import Parts, write_tensors

_ATTEMPTS = 64  # of a reader, while other processes replace the session under its hands
_SAVING = ".saving"
_MARK = "pace-integrations session"  # first line of `.saving`
_LOCKS = {".lock", ".reading", ".used", f"{_SAVING}.new"}
# What reading a damaged file may raise; RuntimeError is PyTorch's for one that is gone.
_UNREADABLE = (SafetensorError, OSError, ValueError, KeyError, TypeError, RuntimeError)
_DATA = re.compile(r"data-[0-9a-f]{12}")
_WRITTEN = re.compile(r"corpus\.jsonl|[a-z][a-z0-9.-]*\.safetensors")


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


def claim_folder(path: Path) -> None:
    """Make a session's folder, or take one that is empty or a session.

    Raises:
        SessionFileError: Something else is there, or the folder cannot be made.
    """
    try:
        if path.exists() and not is_session_folder(path):
            raise SessionFileError(
                f"{str(path)!r} exists and is no saved session; choose another name"
            )
        make_folder(path)
        if not any(os.path.lexists(path / name) for name in (manifests.FILE, _SAVING)):
            _note_saving(path)  # the mark of a session until there is a manifest
    except OSError as error:
        raise save_error(path, error) from error


def is_session_folder(path: Path) -> bool:
    """Return True if a folder is empty, a session, or what an interrupted first save left.

    Raises:
        OSError: It may not be looked at.
    """
    if not path.is_dir():
        return False
    bare = {entry.name for entry in path.iterdir()} <= _LOCKS
    return (
        bare
        or _MARK in _saving_lines(path)
        or manifests.is_manifest(path)
        or bool(_proven_data(path))  # beside a damaged manifest
    )


def remove_session(path: Path) -> bool:
    """Remove a session and its folder; files that no save writes stay, and then so does the folder.

    Returns:
        True if nothing is left.
    """
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink() and is_session_folder(path):
            remove_session(path / manifests.UNFINISHED)
            _note_saving(path, *_listed_data(path), *_current_data(path))
            remove_file(path / manifests.FILE)
            if _clear_up(path):
                for name in (*_LOCKS, _SAVING):  # the mark last
                    remove_file(path / name)
                remove_empty_folder(path)
    return not os.path.lexists(path)


def _write_files(
    path: Path, facts: dict[str, Any], corpus: Corpus, tensors: Mapping[str, Parts]
) -> None:
    with contextlib.suppress(SessionFileError):
        _clear_up(path)  # what a killed process left
    folder = path / f"data-{uuid.uuid4().hex[:12]}"
    _note_saving(path, folder.name, *_listed_data(path), *_current_data(path))
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
            _clear_up(path)


def _note_saving(path: Path, *folders: str) -> None:
    """Write down which data folders a save makes or replaces; the note replaces an earlier one."""
    beside = path / f"{_SAVING}.new"
    remove_file(beside)
    with create_file(beside) as stream:
        stream.write("\n".join([_MARK, *folders]).encode("ascii"))
    os.replace(beside, path / _SAVING)  # noqa: PTH105 - so that a test can make it fail


def _saving_lines(path: Path) -> list[str]:
    file = path / _SAVING
    try:
        return [] if file.is_symlink() else file.read_text(encoding="ascii").split("\n")
    except (OSError, ValueError):
        return []


def _listed_data(path: Path) -> list[str]:
    """Return the data folders that a save wrote down."""
    return [line for line in _saving_lines(path) if _DATA.fullmatch(line)]


def _named_data(path: Path) -> str | None:
    """Return the data folder that the manifest names; None where there is no manifest.

    Raises:
        SessionFileError: There is one that cannot be understood, so nothing is known to be garbage.
    """
    try:
        os.lstat(path / manifests.FILE)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise damage_error(path, f"{manifests.FILE} cannot be read") from error
    return str(manifests.load_manifest(path)["data"])


def _current_data(path: Path) -> list[str]:
    """Return the data folders of the session that is there."""
    try:
        named = _named_data(path)
    except SessionFileError:
        return _proven_data(path)
    return [] if named is None else [named]


def _proven_data(path: Path) -> list[str]:
    """Return the data folders that hold a tensor file in which a save wrote the folder's name."""
    found = []
    for folder in path.iterdir():
        if _DATA.fullmatch(folder.name) and not folder.is_symlink():
            with contextlib.suppress(*_UNREADABLE):
                if any(_load_tensors(file) for file in folder.glob("*.safetensors")):
                    found.append(folder.name)
    return found


def _clear_up(path: Path) -> bool:
    """Remove what saves wrote down and the manifest does not name. Doing it twice does no more.

    Returns:
        True if all of it is gone.

    Raises:
        SessionFileError: The manifest cannot be understood; nothing is removed.
    """
    named = _named_data(path)
    for name in (manifests.BESIDE, f"{_SAVING}.new"):
        remove_file(path / name)
    garbage = [path / name for name in _listed_data(path) if name != named]
    gone = sum(map(_remove_data, garbage)) == len(garbage)  # all of them, also after one that stays
    if gone and named is not None:
        remove_file(path / _SAVING)
    return gone


def _remove_data(folder: Path) -> bool:
    """Remove the files that a save writes, and their folder if nothing else is in it."""
    if not folder.is_symlink() and folder.is_dir():
        for file in folder.iterdir():
            if _WRITTEN.fullmatch(file.name):
                remove_file(file)
        remove_empty_folder(folder)
    return not os.path.lexists(folder)


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
        lines = (folder / CORPUS).read_text(encoding="utf-8").split("\n")
        documents = tuple(_parse_document(json.loads(line)) for line in lines if line)
        corpus = Corpus(documents, _parse_report(manifest["report"]))
        names = [name for name in manifest["files"] if name != CORPUS]
        tensors = {name: _load_tensors(folder / name) for name in names}
        return SavedSession(int(manifest["tokens"]), corpus, tensors)
    except _UNREADABLE as error:
        raise damage_error(path, f"{type(error).__name__}: {error}") from error


def _load_tensors(file: Path) -> dict[str, torch.Tensor]:
    """Return tensors mapped from a file that belongs to the folder it lies in."""
    with safe_open(file, framework="pt") as stream:
        if (stream.metadata() or {}).get("data") != file.parent.name:
            raise ValueError(f"{file.name} was saved with another session")
        return {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 - no dict


def _write_corpus(file: Path, corpus: Corpus) -> str:
    text = "\n".join(json.dumps(asdict(document)) for document in corpus.documents)
    with create_file(file) as stream:
        stream.write(text.encode("ascii"))
    return hashlib.sha256(text.encode()).hexdigest()


def _parse_document(row: dict[str, Any]) -> Document:
    pages = tuple(Page(**page) for page in row.pop("pages"))
    return Document(**row, pages=pages)


def _parse_report(saved: dict[str, Any]) -> Report:
    rows = ({**row, "warnings": tuple(row["warnings"])} for row in saved["files"])
    return Report(tuple(FileReport(**row) for row in rows))


def save_error(path: Path, error: OSError) -> SessionFileError:
    """Return the error of a folder that does not take a session."""
    return SessionFileError(
        f"cannot save to {str(path)!r}: {error.strerror or error}; a session that is there is "
        "whole, the earlier one or this one; check space and permissions"
    )
