"""Sessions on a store that several machines share: found there before anything is read again.

``URL/sessions/<key>/manifest.json`` is written last, under a name that one writer alone can take;
``URL/sessions/<key>/data-.../`` holds the files it names. The key is a hash of model, documents and
namespace, so a second writer has read the same and sends nothing.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pace_integrations._files import make_folder, make_lock
from pace_integrations.errors import IncompatibleSessionError, SessionFileError
from pace_integrations.store import manifest as manifests
from pace_integrations.store.ownership import claim_folder, clear_up, list_noted_data, note_saving
from pace_integrations.store.shared_folder import DamagedObjectError, Seal, SharedFolder

_FOLDER = "sessions"
_log = logging.getLogger(__name__)


class SharedSessions:
    """Sessions by key on a shared store; the store of this machine holds copies.

    Args:
        shared: The store.
    """

    def __init__(self, shared: SharedFolder) -> None:
        self._shared = shared
        self._damaged: set[str] = set()

    def fetch(self, path: Path, fingerprint: Mapping[str, Any], namespace: str | None) -> bool:
        """Copy a session to where it lies on this machine, unless one is there.

        A store is a help: without an answer, or with a damaged session, documents are read.

        Args:
            path: Its folder on this machine, named by its key.
            fingerprint: Identity of the model that asks for it.
            namespace: Whose it must be.

        Returns:
            True if it was copied.
        """
        if (path / manifests.FILE).exists():
            return False
        try:
            return self._copy(path, fingerprint, namespace)
        except FileNotFoundError:
            return False
        except (OSError, SessionFileError, IncompatibleSessionError) as error:
            _log.warning("%s is not taken from %s: %s", path.stem, self._shared.url, error)
            if isinstance(error, (DamagedObjectError, SessionFileError, IncompatibleSessionError)):
                self._damaged.add(path.stem)  # to be replaced by what is read now
            return False

    def share(self, path: Path) -> bool:
        """Send a session to the store, unless it is there.

        Returns:
            True if it was sent.
        """
        try:
            return self._send(path)
        except (OSError, SessionFileError) as error:
            _log.warning("%s is not shared at %s: %s", path.stem, self._shared.url, error)
            return False

    def _copy(self, path: Path, fingerprint: Mapping[str, Any], namespace: str | None) -> bool:
        place = f"{_FOLDER}/{path.stem}"
        data = self._shared.read(f"{place}/{manifests.FILE}")
        claim_folder(path)
        with make_lock(path / ".lock"):
            if (path / manifests.FILE).exists():  # another process copied it meanwhile
                return False
            manifest = _parse_manifest(data)
            manifests.compare_namespace(path, manifest, namespace)
            manifests.compare_fingerprint(path, manifest, fingerprint)
            try:
                self._copy_files(path, place, manifest)
                manifests.write_manifest(path, manifest)
            finally:
                with contextlib.suppress(OSError, SessionFileError):
                    clear_up(path)
        return True

    def _copy_files(self, path: Path, place: str, manifest: Mapping[str, Any]) -> None:
        name = str(manifest["data"])
        note_saving(path, name, *list_noted_data(path))
        make_folder(path / name)
        self._shared.download_all(
            {
                f"{place}/{name}/{file}": (
                    path / name / file,
                    Seal(facts["bytes"], facts["sha256"]),
                )
                for file, facts in manifest["files"].items()
            }
        )

    def _send(self, path: Path) -> bool:
        manifest = manifests.load_manifest(path)
        place, name = f"{_FOLDER}/{path.stem}", manifest["data"]
        if self._is_there(path.stem):
            return False
        sent = {f"{place}/{name}/{file}": path / name / file for file in manifest["files"]}
        self._shared.upload(sent)
        self._damaged.discard(path.stem)
        if self._shared.create(f"{place}/{manifests.FILE}", (path / manifests.FILE).read_bytes()):
            return True
        self._shared.remove(sent)  # another machine was faster
        return False

    def _is_there(self, stem: str) -> bool:
        """Return True if a whole session is there; the manifest of one that is not goes."""
        place = f"{_FOLDER}/{stem}"
        try:
            saved = json.loads(self._shared.read(f"{place}/{manifests.FILE}"))
            found = set(self._shared.list(f"{place}/{saved['data']}"))
            if found >= set(saved["files"]) and stem not in self._damaged:
                return True
        except FileNotFoundError:
            return False
        except (ValueError, KeyError, TypeError):
            pass
        self._shared.remove([f"{place}/{manifests.FILE}"])
        return False


def find_shared_sessions(url: str | None) -> SharedSessions | None:
    """Return the sessions at an address, or at that of the variable PACE_STORE; None without any.

    Raises:
        ConfigError: Nothing that is installed opens the address.
    """
    given = url or os.environ.get("PACE_STORE")
    return SharedSessions(SharedFolder(given)) if given else None


def _parse_manifest(data: bytes) -> dict[str, Any]:
    """Return what a manifest says.

    Raises:
        SessionFileError: It is damaged or of another format.
    """
    with TemporaryDirectory(prefix="pace-") as folder:
        Path(folder, manifests.FILE).write_bytes(data)
        return manifests.load_manifest(Path(folder))
