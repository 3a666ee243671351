"""Libraries: documents under a name, read in the background and kept on disk."""

from __future__ import annotations

import logging
import re
import threading
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pace_integrations import _files
from pace_integrations.documents import Corpus, NothingReadError
from pace_integrations.errors import PaceError
from pace_integrations.server.backend import Backends, remove_documents
from pace_integrations.server.errors import ApiError, not_found
from pace_integrations.server.joint_library import JOINT, JointLibrary, JointShelf
from pace_integrations.server.records import (
    RECORD,
    SHARED,
    FileEntry,
    Library,
    describe_files,
    describe_problems,
    load_record,
    write_record,
)
from pace_integrations.server.uploads import UploadStore, document_id_of

_log = logging.getLogger(__name__)


class LibraryShelf:
    """All libraries of a server; one worker reads for all of them, in turn.

    Args:
        folder: Where they are kept.
        uploads: Where their files come from.
        backends: Makes what reads and answers.
    """

    def __init__(self, folder: Path, uploads: UploadStore, backends: Backends) -> None:
        self._folder = folder
        self._uploads = uploads
        self._backends = backends
        self._joint = JointShelf(folder.parent / "joint", backends.make_joint)
        self._libraries: dict[tuple[str, str], Library] = {}
        self._lock = threading.Lock()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="pace-reader")
        for place in self._joint.list_folders():  # of an earlier run
            self._worker.submit(self._discard, place)
        self._load_all()

    def close(self) -> None:
        """End the worker; what it has read of a library is kept."""
        self._worker.shutdown(wait=False, cancel_futures=True)
        for place in self._joint.list_folders():
            self._discard(place)

    def list_all(self) -> Sequence[Library]:
        """Return every library, for counting."""
        with self._lock:
            return tuple(self._libraries.values())

    def list_visible(self, namespace: str) -> list[Library]:
        """Return the libraries that a namespace sees: the shared ones first, then its own."""
        known = self.list_all()
        shared = [library for library in known if library.namespace == SHARED]
        own = [library for library in known if library.namespace == namespace]
        return [*shared, *sorted(own, key=lambda library: -library.created_at)]

    def get(self, namespace: str, library_id: str) -> Library:
        """Return a library, or several that are asked as one: their ids with commas.

        Raises:
            ApiError: There is none, or it is another's (404).
        """
        if JOINT in library_id:
            ids = dict.fromkeys(filter(None, library_id.split(JOINT)))
            return self._joint.get([self.get(namespace, one) for one in ids])
        with self._lock:
            own = self._libraries.get((namespace, library_id))
            found = own or self._libraries.get((SHARED, library_id))
        if found is None:
            raise not_found("vector store", library_id)
        return found

    def _forget_joints(self, library: Library) -> None:
        """Forget what several libraries hold together, since one of them holds less from now on."""
        for place in self._joint.forget(library):
            self._worker.submit(self._discard, place)

    def _discard(self, folder: Path, namespace: str = SHARED) -> None:
        """Remove what is kept in a folder, wherever that is."""
        try:
            self._backends.remove(folder, namespace)
        except Exception as error:  # whatever a store raises
            _log.warning("%s stays until the server starts again: %s", folder, error)

    def create(self, namespace: str, name: str, metadata: dict[str, Any] | None = None) -> Library:
        """Make an empty library."""
        library_id = f"vs_{uuid.uuid4().hex[:24]}"
        library = Library(library_id, name, namespace, self._folder / namespace / library_id)
        library.metadata = metadata or {}
        self._save(library)
        self._put(library)
        return library

    def open_folder(self, path: Path) -> Library:
        """Make a folder of documents a library that everybody sees, and start reading it."""
        stem = re.sub(r"[^\w.-]+", "-", path.resolve().name).strip("-.") or "documents"
        library_id, number = stem[:80], 1
        while (SHARED, library_id) in self._libraries:
            number += 1
            library_id = f"{stem[:80]}-{number}"
        place = self._folder / "folders" / uuid.uuid5(uuid.NAMESPACE_URL, str(path.resolve())).hex
        library = Library(library_id, path.resolve().name, SHARED, place)
        library.source = path
        self._put(library)
        self._submit(library, lambda: self._read_folder(library, path))
        return library

    def add_uploads(self, library: Library, file_ids: Sequence[str]) -> list[FileEntry]:
        """Add uploaded files and start reading them.

        Raises:
            ApiError: One is not there (404), or the library is a folder's (400).
        """
        self._refuse_folder(library)
        uploads = [self._uploads.get(library.namespace, file_id) for file_id in file_ids]
        entries = [FileEntry(u.id, u.filename, u.bytes) for u in uploads]
        paths = [self._uploads.find_path(library.namespace, u.id) for u in uploads]
        library.files.update((entry.id, entry) for entry in entries)
        self._save(library)
        self._submit(library, lambda: self._read_files(library, entries, paths))
        return entries

    def rename(self, library: Library, name: str | None, metadata: dict[str, Any] | None) -> None:
        """Give a library another name or other notes.

        Raises:
            ApiError: It is a folder that the server was started with (400).
        """
        self._refuse_folder(library)
        library.name = name[:200] if name else library.name
        library.metadata = library.metadata if metadata is None else metadata
        self._save(library)

    def remove_file(self, library: Library, file_id: str) -> None:
        """Take a file out of a library.

        Raises:
            ApiError: It is not in it (404), or the library is a folder's (400).
        """
        self._refuse_folder(library)
        if library.files.pop(file_id, None) is None:
            raise not_found("file", file_id)
        self._forget_joints(library)
        gone = document_id_of(file_id)
        self._submit(library, lambda: self._drop_document(library, gone))

    def remove(self, library: Library) -> None:
        """Remove a library with all that was read; uploaded files stay.

        Raises:
            ApiError: It is a folder that the server was started with (400).
        """
        self._refuse_folder(library)
        with self._lock:
            self._libraries.pop((library.namespace, library.id), None)
        library.removed = True
        write_record(library)  # if it is interrupted, it goes on when the server starts again
        self._forget_joints(library)
        self._worker.submit(self._discard, library.folder, library.namespace)

    def _refuse_folder(self, library: Library) -> None:
        if isinstance(library, JointLibrary):
            raise ApiError(400, f"{library.id!r} are several libraries; change each by itself")
        if library.source is not None:
            raise ApiError(
                400,
                f"library {library.id!r} is a folder that the server was started with; change the "
                "folder and start it again",
                code="library_is_folder",
            )

    def _submit(self, library: Library, work: Callable[[], None]) -> None:
        def run() -> None:
            try:
                if not library.removed:
                    work()
            except Exception:
                _log.exception("library %s could not be changed", library.id)
            finally:
                library.progress = None

        library.job = self._worker.submit(run)

    def _read_folder(self, library: Library, path: Path) -> None:
        try:
            corpus = Corpus.from_paths(path)
        except NothingReadError as error:
            corpus = Corpus((), error.report)
        except PaceError as error:
            library.files = {path.name: FileEntry(path.name, path.name, 0, "failed", str(error))}
            return
        library.files = {entry.id: entry for entry in describe_files(corpus)}
        if corpus.documents:
            try:
                self._read_corpus(library, corpus)
            except PaceError as error:
                for entry in library.files.values():
                    entry.status, entry.problem = "failed", str(error)

    def _read_files(
        self, library: Library, entries: Sequence[FileEntry], paths: Sequence[Path]
    ) -> None:
        for entry, path in zip(entries, paths, strict=True):
            if entry.id not in library.files:  # removed before its turn came
                continue
            try:
                added = Corpus.from_paths(path)
                held = library.backend.corpus if library.backend else None
                self._read_corpus(library, held + added if held else added)
                entry.status, entry.problem = "completed", describe_problems(added.report)
            except NothingReadError as error:
                entry.status, entry.problem = "failed", describe_problems(error.report)
            except PaceError as error:
                entry.status, entry.problem = "failed", str(error)
            self._save(library)

    def _drop_document(self, library: Library, document_id: str) -> None:
        if library.backend is not None and library.backend.corpus is not None:
            corpus = library.backend.corpus
            left = remove_documents(corpus, {document_id: None})
            if left.documents != corpus.documents:
                self._read_corpus(library, left)
        self._save(library)

    def _read_corpus(self, library: Library, corpus: Corpus) -> None:
        def note(done: int, total: int) -> None:
            library.progress = (done, total)

        backend = library.backend or self._backends.make_backend(library.folder, library.namespace)
        backend.set_corpus(corpus, note)
        library.backend = backend

    def _put(self, library: Library) -> None:
        with self._lock:
            self._libraries[library.namespace, library.id] = library

    def _save(self, library: Library) -> None:
        if library.source is None and not library.removed:
            _files.make_folder(library.folder)
            write_record(library)

    def _load_all(self) -> None:
        for meta in sorted(self._folder.glob(f"*/*/{RECORD}")):
            try:
                library = load_record(meta)
            except (ValueError, KeyError, TypeError) as error:
                _log.warning("%s is skipped: %s", meta, error)
                continue
            if library.removed:
                self._worker.submit(self._discard, library.folder, library.namespace)
                continue
            self._put(library)
            self._submit(library, lambda library=library: self._reopen(library))  # type: ignore[misc]

    def _reopen(self, library: Library) -> None:
        """Open what an earlier run has read, and go on with what it has not."""
        backend = self._backends.make_backend(library.folder, library.namespace)
        held = {document.id for document in backend.corpus.documents} if backend.corpus else set()
        library.backend = backend if held else None
        ready = []
        for entry in list(library.files.values()):
            if entry.status == "failed" or document_id_of(entry.id) in held:
                continue
            try:
                ready.append((entry, self._uploads.find_path(library.namespace, entry.id)))
            except ApiError as error:
                entry.status, entry.problem = "failed", error.message
        self._read_files(library, [e for e, _ in ready], [p for _, p in ready])
