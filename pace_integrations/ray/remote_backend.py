"""Backends of the server's core whose model is in a replica elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from pace_integrations._files import remove_tree
from pace_integrations.answer import Answer, Citation
from pace_integrations.documents import Corpus
from pace_integrations.errors import PaceError
from pace_integrations.ray.engine import Holding
from pace_integrations.ray.opened import Place
from pace_integrations.server.backend import Call, Progress
from pace_integrations.server.errors import ApiError
from pace_integrations.session.citations import Passage
from pace_integrations.store.shared_folder import is_url

_RETRY = {"retry-after": "1"}


class RemoteModel:
    """What the server says of the replicas' model.

    Args:
        engine: Ray Serve's handle to the replicas.
    """

    def __init__(self, engine: Any) -> None:  # noqa: ANN401 - Ray is not installed everywhere
        self._engine = engine

    @cached_property
    def _facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = _wait(self._engine.describe_model.remote())
        return facts

    @property
    def name(self) -> str:
        """The name or path it was asked for by."""
        return str(self._facts["name"])

    @property
    def context_window(self) -> int:
        """Most tokens of documents, question and answer together."""
        return int(self._facts["context_window"])

    @property
    def knows_tools(self) -> bool:
        """True where it was trained to call tools."""
        return bool(self._facts["knows_tools"])

    def token_ids(self, text: str) -> list[int]:
        """Return the token ids of a text."""
        return list(_wait(self._engine.encode_text.remote(text)))

    def count_tokens(self, text: str) -> int:
        """Return how many tokens a text has."""
        return len(self.token_ids(text))

    def load(self) -> Self:
        """Ask for what is known of the model, before the event loop must not wait for it."""
        _ = self._facts
        return self


class RemotePieces:
    """An answer while a replica writes it.

    Args:
        pieces: Ray Serve's response.
    """

    def __init__(self, pieces: Any) -> None:  # noqa: ANN401
        self._pieces = pieces
        self._answer: Answer | None = None

    @property
    def answer(self) -> Answer:
        """The whole answer, once all pieces are there."""
        assert self._answer is not None
        return self._answer

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        """Return the next piece of text."""
        try:
            piece = await anext(self._pieces)
        except StopAsyncIteration:
            raise
        except Exception as error:
            raise to_server_error(error) from error
        if isinstance(piece, Answer):
            self._answer = piece
            raise StopAsyncIteration
        return str(piece)

    async def aclose(self) -> None:
        """Stop the generation."""
        if self._answer is None:
            self._pieces.cancel()


class RemoteBackend:
    """Documents that replicas hold.

    Args:
        engine: Ray Serve's handle to the replicas.
        place: Where they are kept.
    """

    def __init__(self, engine: Any, place: Place) -> None:  # noqa: ANN401
        self._engine = engine
        self._place = place
        self._holding = Holding(None, 0, (), None)

    def open(self) -> Self:
        """Take in what is kept there."""
        self._take(_wait(self._handle().open_place.remote(self._place)))
        return self

    @property
    def corpus(self) -> Corpus | None:
        """The documents it holds, or None."""
        return self._holding.corpus

    @property
    def tokens(self) -> int:
        """The tokens of what it holds."""
        return self._holding.tokens

    @property
    def passages(self) -> Sequence[Passage]:
        """The pages under the numbers that answers cite."""
        return self._holding.passages

    def set_corpus(self, corpus: Corpus, progress: Progress) -> None:
        """Hold these documents and no others; what is held already is not read again."""
        steps = self._handle(stream=True).set_corpus.remote(self._place, corpus)
        try:
            for step in steps:
                if isinstance(step, Holding):
                    self._take(step)
                else:
                    progress(*step)
        except Exception as error:
            raise to_server_error(error) from error

    def set_texts(self, corpus: Corpus) -> None:
        """Hold these documents and no others; pages are read when a question needs them."""
        self.set_corpus(corpus, lambda done, total: None)

    def find_pages(self, query: str, count: int) -> list[Citation]:
        """Return the pages that fit a query best, the best first, each with its best words."""
        return list(_wait(self._handle().find_pages.remote(self._place, query, count)))

    async def ask(self, call: Call) -> Answer:
        """Answer a call; cancelling stops the generation."""
        response = self._handle().ask.remote(self._place, call)
        try:
            answer: Answer = await response
        except Exception as error:
            raise to_server_error(error) from error
        except BaseException:
            response.cancel()
            raise
        return answer

    async def start_stream(self, call: Call) -> RemotePieces:
        """Answer a call piece by piece."""
        return RemotePieces(self._handle(stream=True).stream.remote(self._place, call))

    def _handle(self, *, stream: bool = False) -> Any:  # noqa: ANN401
        return self._engine.options(session_id=self._place.session_id, stream=stream)

    def _take(self, holding: Holding) -> None:
        self._holding = holding
        self._place = replace(self._place, version=holding.version)


class RemoteBackends:
    """Makes backends whose model is in the replicas.

    Args:
        engine: Ray Serve's handle to them.
        data: The server's folder, below which the libraries lie.
        store: Where libraries are kept instead, as an address that all replicas reach; None keeps
            them in `data`, which they must then all see.
    """

    def __init__(self, engine: Any, data: Path, store: str | None) -> None:  # noqa: ANN401
        self._engine = engine
        self._data = data
        self._store = store

    def make_backend(self, folder: Path, namespace: str) -> RemoteBackend:
        """Return what answers from the documents kept in a folder."""
        return RemoteBackend(self._engine, Place(self._locate(folder), namespace)).open()

    def make_joint(self, folder: Path) -> RemoteBackend:
        """Return what answers from several libraries at once."""
        return RemoteBackend(self._engine, Place(self._locate(folder), texts=True))

    def make_blank(self) -> RemoteBackend:
        """Return the model without documents."""
        return RemoteBackend(self._engine, Place())

    def remove(self, folder: Path, namespace: str) -> None:
        """Remove what is kept in a folder, or at the address that stands for it."""
        place = Place(self._locate(folder), namespace)
        _wait(self._engine.options(session_id=place.session_id).remove_place.remote(place))
        remove_tree(folder)

    def _locate(self, folder: Path) -> str:
        if self._store is None or not is_url(self._store):
            return str(folder.absolute())
        return f"{self._store.rstrip('/')}/{folder.relative_to(self._data).as_posix()}"


def _wait(response: Any) -> Any:  # noqa: ANN401 - Ray's
    try:
        return response.result()
    except Exception as error:
        raise to_server_error(error) from error


def to_server_error(error: Exception) -> Exception:
    """Return what a client is told of an error of Ray or of a replica."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, (PaceError, ApiError)):
        return cause
    names = {kind.__name__ for kind in type(error).__mro__}
    if "BackPressureError" in names:
        text = "all replicas are busy and as many requests wait as may; try again later"
        return ApiError(503, text, kind="server_error", code="queue_full", headers=_RETRY)
    if names & {"RayActorError", "ActorUnavailableError", "DeploymentUnavailableError"}:
        text = (
            "the replica that was answering is lost; what it had written is incomplete: ask again"
        )
        return ApiError(503, text, kind="server_error", code="replica_lost", headers=_RETRY)
    return error
