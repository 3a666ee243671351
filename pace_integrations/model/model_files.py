"""Where the files of a model are: known names, GGUF files, folders, the Hub; and their hashes."""

from __future__ import annotations

import hashlib
import logging
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

from huggingface_hub import is_offline_mode
from huggingface_hub.constants import ENDPOINT as HUB

from pace_integrations.errors import ModelLoadError
from pace_integrations.model.fetching import prepare_checkpoint
from pace_integrations.model.gguf import GGUF_SUFFIX, is_gguf_file
from pace_integrations.model.registry import MODELS, default_model_name, explain_default

_LOG = logging.getLogger(__name__)
_told: set[str] = set()


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """Where the files of a model are.

    Attributes:
        name: The name or path it was asked for by.
        path: Folder, or name on the Hugging Face Hub.
        gguf: The GGUF file with its weights, or None.
        adapter: The adapter to merge, as a folder or a name, or None.
        adapter_name: What the adapter was asked for by, or None where it belongs to the name.
        base_hash: Hash of the base weights, where it is known in advance.
    """

    name: str
    path: str
    gguf: Path | None = None
    adapter: str | None = None
    adapter_name: str | None = None
    base_hash: str | None = None


def locate_model(
    model: str | os.PathLike[str] | None, adapter: str | os.PathLike[str] | None
) -> ModelFiles:
    """Return where a model's files are; a known model's base is converted if that is still to do.

    Raises:
        ModelLoadError: The name is empty, or a known model is not on this machine.
    """
    if model is None:
        _tell_default()
    name = default_model_name() if model is None else os.fspath(model)
    chosen = os.fspath(adapter) if adapter is not None else None
    if not name.strip():
        raise ModelLoadError("the model's name is empty; leave it out for the default model")
    if name in MODELS:
        known = MODELS[name]
        path = prepare_checkpoint(known)
        if not (path / "config.json").is_file():
            raise ModelLoadError(
                f"{name} is missing from this installation ({path}); reinstall "
                "pace-integrations, or name another model"
            )
        base = f"sha256:{known.source.sha256}" if known.source else None
        own = str(known.adapter) if known.adapter else None
        return ModelFiles(name, str(path), None, chosen or own, chosen, base)
    if is_gguf_file(name):
        file = Path(name)
        return ModelFiles(name, str(file.parent), file, chosen, chosen)
    if name.lower().endswith(GGUF_SUFFIX):
        raise ModelLoadError(f"there is no GGUF file {name!r}; check the path")
    return ModelFiles(name, name, None, chosen, chosen)


def _tell_default() -> None:
    """Log, once in this process, that there is a better default model."""
    line = explain_default()
    if line is not None and line not in _told:
        _told.add(line)
        _LOG.warning(line, extra={"advice": True})  # the shell tells it to those who watch


def hub_in_reach() -> bool:
    """Return True if the Hub's name resolves: offline, the client would retry for a minute."""
    if is_offline_mode():
        return False
    if getproxies():
        return True  # names may resolve at the proxy only
    try:
        return bool(socket.getaddrinfo(urlsplit(HUB).hostname, 443))
    except OSError:
        return False


def hash_files(folder: Path) -> str:
    """Return the SHA-256 over a local checkpoint's configuration, tokenizer and weights."""
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*")):
        if file.suffix in {".json", ".safetensors", ".bin", ".model", ".jinja"}:
            digest.update(file.name.encode())
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return f"sha256:{digest.hexdigest()}"


def hash_file(file: Path) -> str:
    """Return the SHA-256 of a file."""
    with file.open("rb") as stream:
        return f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"
