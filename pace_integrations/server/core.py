"""The server's one core: a model, its libraries, who is answered when, and what was answered."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from pace_integrations.adapters.answer_format import ToolPolicy
from pace_integrations.answer import Answer, Citation
from pace_integrations.documents import ReadOptions
from pace_integrations.documents.discovery import expand_paths
from pace_integrations.documents.formats.sniffing import is_supported
from pace_integrations.model.prompts import UNANSWERABLE
from pace_integrations.server.admission import Admission
from pace_integrations.server.backend import Backend, Backends, Call, ServedModel
from pace_integrations.server.errors import ApiError, not_found
from pace_integrations.server.libraries import LibraryShelf
from pace_integrations.server.metrics import Metrics
from pace_integrations.server.records import Library
from pace_integrations.server.requests import Turn
from pace_integrations.server.settings import ServerSettings
from pace_integrations.server.uploads import UploadStore

DEFAULT_MODEL = "pace"
_MAX_RESPONSES = 1000


@dataclass(frozen=True, slots=True)
class Target:
    """Who answers.

    Attributes:
        model: The name that the reply gives for it.
        namespace: Whose request it is.
        library: What it answers from; None is the model alone.
    """

    model: str
    namespace: str
    library: Library | None = None


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """An answer that later requests may go on from.

    Attributes:
        body: The reply.
        turns: The conversation, the answer included.
        items: The input, as it was sent.
        target: Who answered.
    """

    body: dict[str, Any]
    turns: Sequence[Turn]
    items: Sequence[Any]
    target: Target


class ServerCore:
    """What all interfaces of the server share.

    Args:
        pace: The model; the core does not close it.
        settings: Limits and permissions.
        backends: What makes the libraries' backends.

    Attributes:
        pace: The model.
        settings: Limits and permissions.
        uploads: Files that clients have sent.
        libraries: What is asked.
        admission: Who is answered when.
        metrics: What is counted.
        created_at: When it was started, in seconds since 1970.
    """

    def __init__(self, pace: ServedModel, settings: ServerSettings, backends: Backends) -> None:
        self.pace = pace
        self.settings = settings
        self.metrics = Metrics(self)
        self.uploads = UploadStore(settings.data / "files", settings.max_upload)
        self.libraries = LibraryShelf(settings.data / "libraries", self.uploads, backends)
        self.admission = Admission(settings)
        self.created_at = int(time.time())
        self._blank = backends.make_blank()
        self._responses: OrderedDict[tuple[str, str], StoredResponse] = OrderedDict()
        self._secret = secrets.token_bytes(32)
        self._readers: dict[str, str] = {}
        for folder in settings.folders:
            self.libraries.open_folder(folder)

    def close(self) -> None:
        """End the reading."""
        self.libraries.close()

    @property
    def tool_policy(self) -> ToolPolicy:
        """Return who decides about calls of tools: models that know them do."""
        return "model" if self.pace.knows_tools else "first"

    def pick_target(self, model: str | None, namespace: str) -> Target:
        """Return who answers to a model's name.

        ``pace/LIBRARY`` is a library, the model's own name is the model without documents, and
        every other name the first library, or the model alone where there is none.

        Raises:
            ApiError: There is no such library (404).
        """
        name = model or DEFAULT_MODEL
        if name.startswith("pace/"):
            library_id = name.removeprefix("pace/")
            try:
                return Target(name, namespace, self.libraries.get(namespace, library_id))
            except ApiError:
                raise not_found("model", name) from None
        if name == self.pace.name:
            return Target(name, namespace)
        known = self.libraries.list_visible(namespace)
        return Target(name, namespace, known[0] if known else None)

    async def ask(self, call: Call, target: Target) -> Answer:
        """Answer a call when its turn comes; cancelling stops the generation.

        Raises:
            ApiError: The queue is full, or the library is empty.
            PaceError: The call cannot be answered.
        """
        start = time.monotonic()
        async with self.admission.take_slot(target.namespace):
            backend = await self._open_backend(target)
            answer = await backend.ask(call)
        self.metrics.count_answer(answer, time.monotonic() - start)
        return answer

    async def stream(self, call: Call, target: Target) -> AsyncGenerator[str | Answer]:
        """Answer a call piece by piece, the whole answer last; see `ask`."""
        start, first = time.monotonic(), None
        async with self.admission.take_slot(target.namespace):
            backend = await self._open_backend(target)
            stream = await backend.start_stream(call)
            async with aclosing(stream):
                while (piece := await anext_or_none(stream)) is not None:
                    first = first or time.monotonic() - start
                    yield piece
                answer = stream.answer
        self.metrics.count_answer(answer, first or time.monotonic() - start)
        yield answer

    async def _open_backend(self, target: Target) -> Backend:
        return await target.library.wait_until_open() if target.library else self._blank

    async def find_pages(self, library: Library, query: str, count: int) -> list[Citation]:
        """Return the pages of a library that fit a query best."""
        backend = await library.wait_until_open()
        return await asyncio.to_thread(backend.find_pages, query, count)

    def import_paths(self, namespace: str, paths: Sequence[str], name: str) -> Library:
        """Copy files of this machine into a library and start reading them.

        Args:
            namespace: Whose library it is.
            paths: Files and folders, all below a root.
            name: Name of the library; a new one is made where there is none.

        Raises:
            ConfigError: A path, or a file that it leads to, does not lie below a root.
            DocumentError: A path leads nowhere.
            ApiError: A file is too large or of a kind that is not read.
        """
        check = self.settings.find_below_root
        wanted = expand_paths([check(path) for path in paths], ReadOptions())
        files = [check(str(path)) for path in wanted if is_supported(path)]
        for path in files:
            self.uploads.check_size(path.stat().st_size)
        uploads = [
            self.uploads.add(namespace, path.name, path.read_bytes(), "assistants")
            for path in files
        ]
        own = (lib for lib in self.libraries.list_visible(namespace) if lib.source is None)
        library = next((lib for lib in own if name in (lib.name, lib.id)), None)
        library = library or self.libraries.create(namespace, name)
        self.libraries.add_uploads(library, [upload.id for upload in uploads])
        return library

    def store_response(self, response: StoredResponse) -> None:
        """Keep an answer for requests that go on from it; the least recently used one goes."""
        key = (response.target.namespace, response.body["id"])
        self._responses[key] = response
        while len(self._responses) > _MAX_RESPONSES:
            self._responses.popitem(last=False)

    def get_response(self, namespace: str, response_id: str) -> StoredResponse:
        """Return an answer that was kept.

        Raises:
            ApiError: There is none, or it is another's (404).
        """
        key = (namespace, response_id)
        if key not in self._responses:
            raise not_found("response", response_id)
        self._responses.move_to_end(key)
        return self._responses[key]

    def remove_response(self, namespace: str, response_id: str) -> None:
        """Forget an answer.

        Raises:
            ApiError: There is none, or it is another's (404).
        """
        self.get_response(namespace, response_id)
        del self._responses[namespace, response_id]

    def sign_page(self, namespace: str, library_id: str, number: int) -> str:
        """Return what opens the view of a page without a key: browsers follow links without one."""
        reader = hmac.new(self._secret, namespace.encode(), hashlib.sha256).hexdigest()[:16]
        self._readers[reader] = namespace
        return f"{reader}.{self._sign(reader, library_id, number)}"

    def read_signature(self, signature: str, library_id: str, number: int) -> str | None:
        """Return whose page a signature opens; None where it opens none."""
        reader, _, given = signature.partition(".")
        wanted = self._sign(reader, library_id, number)
        valid = hmac.compare_digest(wanted.encode(), given.encode("utf-8", "replace"))
        return self._readers.get(reader) if valid else None

    def _sign(self, reader: str, library_id: str, number: int) -> str:
        text = f"{reader}\0{library_id}\0{number}".encode("utf-8", "replace")
        return hmac.new(self._secret, text, hashlib.sha256).hexdigest()[:32]


async def anext_or_none(stream: Any) -> str | None:  # noqa: ANN401 - an asynchronous iterator
    """Return the next piece of a stream, or None at its end."""
    try:
        piece: str = await anext(stream)
    except StopAsyncIteration:
        return None
    return piece


def is_refusal(answer: Answer) -> bool:
    """Return whether an answer says that the documents do not say."""
    return answer.text.strip().startswith(UNANSWERABLE)
