"""The manifest of a saved session: checksummed, replaced atomically, compared field by field."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from pace_integrations._checks import is_whole
from pace_integrations._files import create_file, remove_file, sync
from pace_integrations.config import MemoryConfig
from pace_integrations.documents import Report
from pace_integrations.errors import (
    ConfigError,
    DocumentError,
    IncompatibleSessionError,
    SessionFileError,
)

FORMAT = 2
FILE = "manifest.json"
CORPUS = "corpus.jsonl"
BESIDE = f".{FILE}.new"  # the next manifest, before it replaces the old one
MOST_BYTES = 64 * 2**20  # of a manifest; ours have a few hundred bytes for each document
UNFINISHED = "unfinished"  # folder of a reading that is under way or was interrupted

Verify = Literal["full", "fast"]

_FIELDS: dict[str, type | tuple[type, ...]] = {
    "fingerprint": dict,
    "namespace": (str, type(None)),
    "tokens": int,
    "data": str,
    "files": dict,
    "documents": list,
    "report": dict,
}
# Settings of `Pace.load` that a fingerprint holds under their own names.
_SAVED_OPTIONS = ("adapter", "dtype", "quantization", "overflow", "context", "kv", "ahn")
_NAME = re.compile(r"[a-z][a-z0-9.-]*")
_NAMESPACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+:-]{0,127}")


def load_manifest(path: Path) -> dict[str, Any]:
    """Return the manifest of the session in a folder, its checksum verified.

    Raises:
        SessionFileError: There is none, or it is damaged or of another format.
    """
    if not os.path.isdir(path):  # false too where it may not be looked at  # noqa: PTH112
        raise SessionFileError(f"no saved session at {str(path)!r}; check path and permissions")
    manifest = _parse_manifest(path)
    found = manifest.get("format")
    if found != FORMAT:
        raise SessionFileError(
            f"{str(path)!r} has format {found!r}, and this version reads {FORMAT}; open it with "
            "the version that saved it, or read the documents again"
        )
    for field, kind in _FIELDS.items():
        if not isinstance(manifest.get(field), kind):
            raise damage_error(path, f"{FILE} lacks {field!r}")
    for name, facts in manifest["files"].items():
        kinds = {"bytes": int, "sha256": str}
        if not (isinstance(facts, dict) and all(isinstance(facts.get(k), kinds[k]) for k in kinds)):
            raise damage_error(path, f"{FILE} says nothing of {name!r}")
    if not all(isinstance(title, str) for title in manifest["documents"]):
        raise damage_error(path, f"{FILE} names documents that have no title")
    if CORPUS not in manifest["files"]:
        raise damage_error(path, f"{FILE} names no {CORPUS}")
    if not is_whole(manifest["tokens"]) or manifest["tokens"] < 0:
        raise damage_error(path, f"{FILE} says that {manifest['tokens']!r} tokens were read")
    try:
        Report.from_dict(manifest["report"])
    except DocumentError as error:
        raise damage_error(path, f"{FILE}: {error}") from error
    for name in (manifest["data"], *manifest["files"]):
        if not _NAME.fullmatch(name):  # what is named lies inside
            raise damage_error(path, f"{FILE} names {name!r}")
    return manifest


def _parse_manifest(path: Path) -> dict[str, Any]:
    """Return the fields of a manifest of any format; their checksum is verified and taken out."""
    try:
        with (path / FILE).open("rb") as stream:
            text = stream.read(MOST_BYTES + 1)
        manifest: Any = json.loads(text) if len(text) <= MOST_BYTES else None
        given = manifest.pop("sha256")
        whole = given == _checksum(manifest)
    except FileNotFoundError:
        raise SessionFileError(
            f"{str(path)!r} holds no {FILE}: it is no session, or its reading or first save was "
            "interrupted; read the documents again"
        ) from None
    except PermissionError as error:
        raise SessionFileError(
            f"the session in {str(path)!r} may not be read; check its permissions and whose it is"
        ) from error
    except (OSError, ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        raise damage_error(path, f"{FILE} cannot be read") from error
    if not whole:
        raise damage_error(path, f"{FILE} was changed")
    return dict(manifest)


def is_manifest(path: Path) -> bool:
    """Return True if a folder holds a manifest with its own checksum, whatever its format."""
    try:
        return bool(_parse_manifest(path))
    except SessionFileError:
        return False


def write_manifest(path: Path, manifest: Mapping[str, Any]) -> None:
    """Replace the manifest of a folder atomically, after everything beside it is on disk.

    The replacement is the one step by which a save takes effect; nothing undoes it.
    """
    text = json.dumps({**manifest, "sha256": _checksum(manifest)}, indent=1)
    beside = path / BESIDE
    remove_file(beside)  # of a killed writer, or a link that must not be written through
    with create_file(beside) as stream:
        stream.write(text.encode("ascii"))
    sync(beside)
    os.replace(beside, path / FILE)  # noqa: PTH105 - so that a test can make it fail
    sync(path)


def compare_fingerprint(
    path: Path, manifest: Mapping[str, Any], fingerprint: Mapping[str, Any]
) -> None:
    """Raise `IncompatibleSessionError` on the first field in which fingerprints differ."""
    # The revision tells models and adapters apart; names may be paths, and what they name moved.
    saved, own = (
        {**json.loads(json.dumps(f)), "model": None, "adapter": None, "ahn": None}
        for f in (manifest["fingerprint"], fingerprint)
    )
    _compare_fields(path, saved, own, "")


def _compare_fields(path: Path, saved: Any, own: Any, field: str) -> None:  # noqa: ANN401 - JSON
    if isinstance(saved, dict) and isinstance(own, dict):
        for key in sorted(saved.keys() | own.keys()):
            _compare_fields(path, saved.get(key), own.get(key), f"{field}.{key}" if field else key)
    elif saved != own:
        advice = "load the model as it was"
        if field == "memory":
            saved, own = (_spell_memory(settings) for settings in (saved, own))
            advice = f"load the model with memory={saved}"
        else:
            saved, own = repr(saved), repr(own)
        raise IncompatibleSessionError(
            f"{str(path)!r} was saved with {field} = {saved}, and this model has {own}; {advice}, "
            "or read the documents again"
        )


def _spell_memory(settings: Any) -> str:  # noqa: ANN401 - JSON
    """Return settings of the memory as a program spells them, without those of the rule."""
    if not isinstance(settings, dict):
        return repr(settings)
    try:
        config = MemoryConfig(**settings)
    except (TypeError, ConfigError):
        return repr(settings)
    given, usual = asdict(config), asdict(MemoryConfig(rule=config.rule))
    usual["rule"] = MemoryConfig().rule
    words = (f"{name}={value!r}" for name, value in given.items() if value != usual[name])
    return f"MemoryConfig({', '.join(words)})"


def compare_namespace(path: Path, manifest: Mapping[str, Any], namespace: str | None) -> None:
    """Raise `IncompatibleSessionError` where a session belongs to another namespace.

    The message does not say to which: that is not the asker's to know.
    """
    if manifest["namespace"] != namespace:
        raise IncompatibleSessionError(
            f"{str(path)!r} was saved under another namespace than {namespace!r}; open it with the "
            "namespace it was read under, or read the documents again"
        )


def check_namespace(namespace: str | None) -> str | None:
    """Return a namespace that is a plain name.

    Raises:
        ConfigError: It is empty, too long, or holds characters that a name needs not.
    """
    text = isinstance(namespace, str)
    if namespace is not None and not (text and _NAMESPACE.fullmatch(namespace)):
        raise ConfigError(
            f"namespace must be 1 to 128 letters, digits or any of . _ @ + : - and start with a "
            f"letter or digit, got {namespace!r}"
        )
    return namespace


def read_saved_options(path: Path) -> dict[str, Any]:
    """Return the arguments of `Pace.load` that load a model as it read a session.

    The model's name is among them; whether it is to be trusted is the caller's to decide.

    Raises:
        SessionFileError: There is no session, or it is damaged.
    """
    fingerprint = load_manifest(path)["fingerprint"]
    memory = fingerprint.get("memory")
    try:
        config = MemoryConfig(**memory) if memory is not None else None
    except (TypeError, ConfigError) as error:
        raise damage_error(path, f"its memory's settings are none ({error})") from error
    saved = {name: fingerprint[name] for name in _SAVED_OPTIONS if name in fingerprint}
    return {"model": fingerprint.get("model"), "memory": config, **saved}


def check_files(path: Path, manifest: Mapping[str, Any], verify: Verify) -> None:
    """Raise `SessionFileError` where a file of a session is missing or was changed."""
    folder = path / manifest["data"]
    for name, facts in manifest["files"].items():
        file = folder / name
        try:
            if file.stat().st_size != facts["bytes"]:
                raise damage_error(path, f"{name} has the wrong size")
            thorough = verify == "full" or name == CORPUS
            if thorough and _hash_file(file) != facts["sha256"]:
                raise damage_error(path, f"{name} was changed")
        except OSError as error:
            raise damage_error(path, f"{name} cannot be read ({error.strerror})") from error


def damage_error(path: Path, what: str) -> SessionFileError:
    """Return the error of a session that is not whole."""
    return SessionFileError(
        f"the session in {str(path)!r} is damaged: {what}; read the documents again"
    )


def _hash_file(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _checksum(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
