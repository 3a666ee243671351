"""Tools for assistants by the Model Context Protocol, on the same core as the server.

Citations stand in the text and in the structured content: many clients show only one of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Annotated, Any

from mcp.server.mcpserver import Context, MCPServer
from mcp_types import CallToolResult, TextContent, ToolAnnotations
from pydantic import Field

from pace_integrations import __version__
from pace_integrations.adapters.citations import describe_citations
from pace_integrations.answer import Answer, Citation
from pace_integrations.errors import PaceError
from pace_integrations.server.backend import Call
from pace_integrations.server.bodies import Body
from pace_integrations.server.citations import CitationWriter, describe_support
from pace_integrations.server.core import ServerCore, Target
from pace_integrations.server.errors import ApiError
from pace_integrations.server.records import Library
from pace_integrations.server.requests import read_settings

PATIENCE = 40.0  # seconds a client waits at least; many give up after 60
_TICK = 1.0  # seconds between notes of progress
_LOCAL = "local"
_INSTRUCTIONS = (
    "Answers from documents on this machine, with the page and the words that support them. Call "
    "ask for a question, find_pages to look for passages, read_page for a whole page. Cite what "
    "you use by document and page. If the documents do not say, say so."
)
LibraryName = Annotated[
    str | None, Field(description="A library's id, from list_libraries; the first one by default.")
]
_READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)


def make_mcp_server(core: ServerCore) -> MCPServer[Any]:
    """Return an MCP server with the tools; those that add documents need roots.

    Args:
        core: The core.
    """
    server: MCPServer[Any] = MCPServer(
        "pace", instructions=_INSTRUCTIONS, version=__version__, log_level="WARNING"
    )
    tools = AssistantTools(core)
    for tool in (tools.list_libraries, tools.ask, tools.find_pages, tools.read_page, tools.status):
        server.tool(annotations=_READS)(tool)
    if core.settings.roots:
        server.tool()(tools.add_documents)
    return server


def run_stdio(core: ServerCore) -> None:
    """Serve the assistant that has started this process, until it closes its end."""
    try:
        asyncio.run(make_mcp_server(core).run_stdio_async())
    finally:
        core.close()


class AssistantTools:
    """The tools. What is wrong with a call is told to the model, which can mend it.

    Args:
        core: The core.
    """

    def __init__(self, core: ServerCore) -> None:
        self._core = core

    async def list_libraries(self, context: Context[Any, Any]) -> CallToolResult:
        """List the libraries of documents that can be asked, with their size and state."""
        found = [_describe(library) for library in self._list(context)]
        lines = [
            f"{row['id']}: {row['name']}, {row['pages']} pages, {row['status']}" for row in found
        ]
        text = "\n".join(lines) or "There is no library; start the server with a folder."
        return _result(text, {"libraries": found})

    async def ask(
        self,
        context: Context[Any, Any],
        question: Annotated[str, Field(description="The question, in full words.")],
        library: LibraryName = None,
    ) -> CallToolResult:
        """Answer a question from a library, with the pages and words that the answer rests on."""

        async def work() -> CallToolResult:
            target = self._target(context, library)
            call = Call([{"role": "user", "content": question}], read_settings(Body(), None))
            if (reading := await self._wait_until_open(context, target)) is not None:
                return reading
            return self._show_answer(await self._core.ask(call, target), target)

        return await _guard(work)

    async def find_pages(
        self,
        context: Context[Any, Any],
        query: Annotated[str, Field(description="Words to look for.")],
        library: LibraryName = None,
        count: Annotated[int, Field(ge=1, le=20, description="Most pages.")] = 5,
    ) -> CallToolResult:
        """Find the pages of a library that fit some words, without answering anything."""

        async def work() -> CallToolResult:
            target = self._target(context, library)
            if (reading := await self._wait_until_open(context, target)) is not None:
                return reading
            assert target.library is not None
            found = await self._core.find_pages(target.library, query, count)
            text = "\n".join(describe_citations(found)) or "No page has these words."
            return _result(text, {"pages": self._describe_all(found, target)})

        return await _guard(work)

    async def read_page(
        self,
        context: Context[Any, Any],
        number: Annotated[int, Field(description="The page's number: what [n] cites.")],
        library: LibraryName = None,
    ) -> CallToolResult:
        """Read the whole text of a page of a library."""

        async def work() -> CallToolResult:
            target = self._target(context, library)
            if (reading := await self._wait_until_open(context, target)) is not None:
                return reading
            assert target.library is not None
            backend = await target.library.wait_until_open()
            passages = await asyncio.to_thread(lambda: backend.passages)
            passage = next((p for p in passages if p.number == number), None)
            if passage is None:
                raise ApiError(404, f"there is no page {number}; find_pages gives their numbers")
            page, title = passage.page, passage.document.title
            found = {
                "number": number,
                "document": title,
                "page": page.index,
                "page_label": page.label,
                "text": page.text,
            }
            return _result(
                f"[{number}] {title}, page {page.label or page.index}\n{page.text}", found
            )

        return await _guard(work)

    async def add_documents(
        self,
        context: Context[Any, Any],
        paths: Annotated[list[str], Field(min_length=1, description="Files or folders to read.")],
        name: Annotated[str, Field(description="Name of the library; a new one is made.")],
    ) -> CallToolResult:
        """Read files of this machine into a library; status tells how far that is."""

        async def work() -> CallToolResult:
            namespace = _namespace(context)
            library = await asyncio.to_thread(self._core.import_paths, namespace, paths, name)
            await self._wait_until_open(context, Target("", namespace, library))
            return self._show_status([library])

        return await _guard(work)

    async def status(
        self, context: Context[Any, Any], library: LibraryName = None
    ) -> CallToolResult:
        """Tell how far the reading of the libraries is, and which files could not be read."""

        async def work() -> CallToolResult:
            if library is None:
                return self._show_status(self._list(context))
            found = self._target(context, library).library
            return self._show_status([found] if found else [])

        return await _guard(work)

    def _list(self, context: Context[Any, Any]) -> list[Library]:
        return self._core.libraries.list_visible(_namespace(context))

    def _target(self, context: Context[Any, Any], library: str | None) -> Target:
        namespace = _namespace(context)
        if library is not None:
            found = self._core.libraries.get(namespace, library.removeprefix("pace/"))
            return Target(f"pace/{found.id}", namespace, found)
        known = self._core.libraries.list_visible(namespace)
        if not known:
            raise ApiError(404, "there is no library; start the server with a folder")
        return Target(f"pace/{known[0].id}", namespace, known[0])

    async def _wait_until_open(
        self, context: Context[Any, Any], target: Target
    ) -> CallToolResult | None:
        """Wait for a library, telling how far it is; return what to say if it takes too long."""
        library = target.library
        assert library is not None
        opening = asyncio.ensure_future(library.wait_until_open())
        try:
            for _ in range(round(PATIENCE / _TICK)):
                await asyncio.wait({opening}, timeout=_TICK)
                if opening.done():
                    opening.result()
                    return None
                done, total = library.progress or (0, 0)
                await context.report_progress(done, total or None, f"reading {library.name}")
        finally:
            opening.cancel()
        text = f"Still reading {library.name}{_percent(library)}; ask again in a minute."
        return _result(text, _describe(library))

    def _show_answer(self, answer: Answer, target: Target) -> CallToolResult:
        lines = describe_citations(answer.citations)
        sources = "\n\nSources:\n" + "\n".join(lines) if lines else ""
        doubt = "\n\n(The pages do not support this answer.)" if answer.supported is False else ""
        found = {
            "answer": answer.text,
            "citations": self._describe_all(answer.citations, target),
            "library": target.library.id if target.library else None,
            **describe_support(answer),
        }
        return _result(f"{answer.text}{doubt}{sources}", found)

    def _describe_all(self, found: Sequence[Citation], target: Target) -> list[dict[str, Any]]:
        settings = self._core.settings
        writer = CitationWriter(self._core, target, f"http://{settings.host}:{settings.port}")
        return [writer.describe(citation) for citation in found]

    def _show_status(self, libraries: Sequence[Library]) -> CallToolResult:
        rows, lines = [], []
        for library in libraries:
            failed = [entry for entry in library.files.values() if entry.status == "failed"]
            problems = [{"file": entry.filename, "problem": entry.problem} for entry in failed]
            rows.append({**_describe(library), "files": library.count_files(), "failed": problems})
            lines.append(f"{library.id} ({library.name}): {library.status}{_percent(library)}")
            lines += [f"  {entry.filename}: {entry.problem}" for entry in failed]
        text = "\n".join(lines) or "There is no library."
        return _result(text, {"model": self._core.pace.name, "libraries": rows})


def _namespace(context: Context[Any, Any]) -> str:
    """Return whose call it is: over HTTP as the gate has found, otherwise this machine's."""
    request = context.request_context.request
    namespace: str = request.scope.get("pace_namespace", _LOCAL) if request else _LOCAL
    return namespace


def _percent(library: Library) -> str:
    done, total = library.progress or (0, 0)
    return f", {100 * done // total} %" if total else ""


def _describe(library: Library) -> dict[str, Any]:
    done, total = library.progress or (0, 0)
    return {
        "id": library.id,
        "name": library.name,
        "status": library.status,
        "pages": library.count_pages(),
        "tokens_read": done,
        "tokens_to_read": total,
    }


def _result(text: str, structured: dict[str, Any]) -> CallToolResult:
    return CallToolResult(
        content=[TextContent(type="text", text=text)], structured_content=structured
    )


async def _guard(work: Callable[[], Coroutine[Any, Any, CallToolResult]]) -> CallToolResult:
    """Return what a tool gives, or what is wrong with the call as text for the model."""
    try:
        return await work()
    except (ApiError, PaceError) as error:
        said = TextContent(type="text", text=f"Error: {error}")
        return CallToolResult(content=[said], is_error=True)
