"""What is in the files of a saved session, as far as it can be told without PyTorch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from pace_integrations.documents import Corpus, Document, Report
from pace_integrations.errors import DocumentError
from pace_integrations.store.manifest import CORPUS, check_files, damage_error, read_saved_options
from pace_integrations.store.ownership import names_folder

# What reading a damaged file may raise; RuntimeError is PyTorch's for one that is gone.
UNREADABLE = (
    *(SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError),
    DocumentError,
)


def check_contents(path: Path, manifest: Mapping[str, Any]) -> None:
    """Check all of a session that can be checked without its model.

    A checksum tells that a file is as it was written, not that what was written is a session.

    Raises:
        SessionFileError: A file is missing or was changed, or does not hold what it should.
    """
    check_files(path, manifest, "full")
    read_saved_options(path)
    try:
        load_corpus(path, manifest)
        for name in list_tensor_files(manifest):
            check_tensor_file(path / manifest["data"] / name)
    except UNREADABLE as error:
        raise damage_error(path, f"{type(error).__name__}: {error}") from error


def load_corpus(path: Path, manifest: Mapping[str, Any]) -> Corpus:
    """Return what was read; a damaged one raises any of `UNREADABLE`."""
    lines = (path / manifest["data"] / CORPUS).read_text(encoding="utf-8").split("\n")
    documents = tuple(Document.from_dict(json.loads(line)) for line in lines if line)
    return Corpus(documents, Report.from_dict(manifest["report"]))


def list_tensor_files(manifest: Mapping[str, Any]) -> list[str]:
    """Return the names of a session's tensor files."""
    return [name for name in manifest["files"] if name != CORPUS]


def check_tensor_file(file: Path) -> None:
    """Check that a tensor file belongs to the folder it lies in; raise any of `UNREADABLE`."""
    if not names_folder(file):
        raise ValueError(f"{file.name} was saved with another session")
