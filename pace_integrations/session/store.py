"""Read state on disk: written whole or not at all, opened only by the model that read it.

``NAME.pace/`` holds ``manifest.json`` and one folder of data that the manifest names:
``corpus.jsonl``, ``kv.safetensors`` and, with the memory on, ``memory.safetensors``. A save writes
a new folder beside the old one and then replaces the manifest, which is the only step that counts:
interrupted before it, the old session is whole; after it, the new one. There is no pickle.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from pace_integrations.documents import Corpus, Document, FileReport, Page, Report
from pace_integrations.errors import IncompatibleSessionError, SessionFileError

FORMAT = 1
Tensors = dict[str, torch.Tensor]
Verify = Literal["full", "fast"]


def write(
    path: Path,
    *,
    fingerprint: Mapping[str, Any],
    tokens: int,
    corpus: Corpus,
    tensors: Mapping[str, Tensors],
) -> None:
    """Saves a session, replacing one that is there.

    Args:
        path: The session's folder.
        fingerprint: Identity of the model and its memory, JSON-ready.
        tokens: Tokens read.
        corpus: What was read.
        tensors: Tensors by the name of their file.

    Raises:
        SessionFileError: The folder holds something else, is being written by another process, or
            cannot be written.
    """
    if path.exists() and not (path.is_dir() and _is_ours(path)):
        raise SessionFileError(f"{str(path)!r} exists and is no saved session; choose another name")
    try:
        path.mkdir(parents=True, exist_ok=True)
        with FileLock(path / ".lock", timeout=0):
            _write(path, fingerprint, tokens, corpus, tensors)
    except Timeout:
        raise SessionFileError(
            f"{str(path)!r} is being saved by another process; wait for it or choose another name"
        ) from None
    except (OSError, SafetensorError) as error:
        why = getattr(error, "strerror", None) or error
        raise SessionFileError(
            f"cannot save to {str(path)!r}: {why}; an earlier session there is unchanged; check "
            "space and permissions"
        ) from error


def _write(
    path: Path,
    fingerprint: Mapping[str, Any],
    tokens: int,
    corpus: Corpus,
    tensors: Mapping[str, Tensors],
) -> None:
    folder = path / f"data-{uuid.uuid4().hex[:12]}"
    folder.mkdir()
    try:
        lines = (json.dumps(asdict(document)) for document in corpus.documents)
        (folder / "corpus.jsonl").write_text("\n".join(lines), encoding="utf-8")
        for name, group in tensors.items():
            save_file({key: t.contiguous() for key, t in group.items()}, folder / name)
        for file in folder.iterdir():
            _sync(file)
        manifest = {
            "format": FORMAT,
            "fingerprint": fingerprint,
            "tokens": tokens,
            "data": folder.name,
            "files": {file.name: _facts(file) for file in sorted(folder.iterdir())},
            "documents": [document.title for document in corpus.documents],
            "report": corpus.report.to_dict(),
        }
        _replace(
            path / "manifest.json", json.dumps({**manifest, "sha256": _seal(manifest)}, indent=1)
        )
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    for old in path.glob("data-*"):
        if old != folder:
            shutil.rmtree(old, ignore_errors=True)


def read(
    path: Path, *, fingerprint: Mapping[str, Any], verify: Verify
) -> tuple[int, Corpus, dict[str, Tensors]]:
    """Opens a saved session.

    Args:
        path: The session's folder.
        fingerprint: Identity of the model that opens it.
        verify: ``"full"`` hashes every file; ``"fast"`` compares their sizes.

    Returns:
        Tokens read, the corpus, and tensors by the name of their file, mapped from disk.

    Raises:
        SessionFileError: There is no session, or it is damaged or of another format.
        IncompatibleSessionError: It belongs to another model or configuration.
    """
    manifest = _manifest(path)
    # The revision tells models apart; the name may be a path, and the model may have moved.
    saved, own = (dict(json.loads(json.dumps(f))) for f in (manifest["fingerprint"], fingerprint))
    _compare(path, {**saved, "model": None}, {**own, "model": None})
    folder = path / manifest["data"]
    for name, facts in manifest["files"].items():
        _check(folder / name, facts, verify)
    try:
        lines = (folder / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
        documents = tuple(_document(json.loads(line)) for line in lines)
        corpus = Corpus(documents, _report(manifest["report"]))
        names = [name for name in manifest["files"] if name.endswith(".safetensors")]
        tensors = {name: load_file(folder / name) for name in names}
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, f"{type(error).__name__}: {error}") from error
    return int(manifest["tokens"]), corpus, tensors


def _manifest(path: Path) -> dict[str, Any]:
    if not path.is_dir():
        raise SessionFileError(f"no saved session at {str(path)!r}; check the path")
    try:
        manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
        seal = manifest.pop("sha256")
    except FileNotFoundError:
        raise SessionFileError(
            f"{str(path)!r} holds no manifest.json: it is no session, or its first save was "
            "interrupted; read the documents again"
        ) from None
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise _damaged(path, "manifest.json cannot be read") from error
    if seal != _seal(manifest):
        raise _damaged(path, "manifest.json was changed")
    if manifest["format"] != FORMAT:
        raise SessionFileError(
            f"{str(path)!r} has format {manifest['format']}, and this version reads {FORMAT}; open "
            "it with the version that saved it, or read the documents again"
        )
    return dict(manifest)


def _compare(path: Path, saved: Any, own: Any, field: str = "") -> None:  # noqa: ANN401 - JSON
    """Raises on the first field in which two fingerprints differ."""
    if isinstance(saved, dict) and isinstance(own, dict):
        for key in sorted(saved.keys() | own.keys()):
            _compare(path, saved.get(key), own.get(key), f"{field}.{key}" if field else key)
    elif saved != own:
        raise IncompatibleSessionError(
            f"{str(path)!r} was saved with {field} = {saved!r}, and this model has {own!r}; load "
            "the model as it was, or read the documents again"
        )


def _check(file: Path, facts: Mapping[str, Any], verify: Verify) -> None:
    if not file.is_file():
        raise _damaged(file.parent.parent, f"{file.name} is missing")
    if file.stat().st_size != facts["bytes"]:
        raise _damaged(file.parent.parent, f"{file.name} has the wrong size")
    if verify == "full" and _facts(file) != facts:
        raise _damaged(file.parent.parent, f"{file.name} was changed")


def _document(row: dict[str, Any]) -> Document:
    pages = tuple(Page(**page) for page in row.pop("pages"))
    return Document(**row, pages=pages)


def _report(saved: dict[str, Any]) -> Report:
    rows = ({**row, "warnings": tuple(row["warnings"])} for row in saved["files"])
    return Report(tuple(FileReport(**row) for row in rows))


def _facts(file: Path) -> dict[str, Any]:
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"bytes": file.stat().st_size, "sha256": digest}


def _seal(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _replace(file: Path, text: str) -> None:
    """Puts a file in place at once, after its content and its neighbours are on disk."""
    beside = file.with_name(f".{file.name}.{uuid.uuid4().hex[:8]}")
    beside.write_text(text, encoding="utf-8")
    _sync(beside)
    beside.replace(file)


def _sync(file: Path) -> None:
    with file.open("rb") as stream:
        os.fsync(stream.fileno())


def _is_ours(path: Path) -> bool:
    """Whether a folder is empty, a session, or what an interrupted first save left."""
    names = {entry.name for entry in path.iterdir()}
    return all(
        n in ("manifest.json", ".lock") or n.startswith(("data-", ".manifest.json.")) for n in names
    )


def _damaged(path: Path, what: str) -> SessionFileError:
    return SessionFileError(
        f"the session in {str(path)!r} is damaged: {what}; read the documents again"
    )
