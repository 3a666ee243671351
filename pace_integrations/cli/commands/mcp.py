"""``pace mcp``: tools for assistants, on standard input and output."""

from __future__ import annotations

from dataclasses import asdict

from pace_integrations._files import make_folder
from pace_integrations.cli.commands.serve import Data, Folders, Root, require_packages
from pace_integrations.cli.opening import check_options, load_model
from pace_integrations.cli.options import ContextOptions, MemoryOptions, ModelOptions, expand_groups
from pace_integrations.cli.output import Output, report_errors


@expand_groups
def mcp(
    model: ModelOptions,
    memory: MemoryOptions,
    context: ContextOptions,
    folders: Folders = None,
    root: Root = None,
    data: Data = None,
) -> None:
    """Serve documents to an assistant that starts this command (MCP over standard input)."""
    output = Output(json=False)
    with report_errors(output):
        require_packages("the MCP server", "mcp", "mcp")
        require_packages("the MCP server", "server", "fastapi", "uvicorn", "python_multipart")
        from pace_integrations.server import ServerSettings
        from pace_integrations.server.assistant_tools import run_stdio
        from pace_integrations.server.core import ServerCore
        from pace_integrations.server.library_backend import LocalBackends

        settings = ServerSettings(
            folders=tuple(folders or ()),
            roots=tuple(root or ()),
            **({"data": data} if data is not None else {}),  # type: ignore[arg-type]
        )
        make_folder(settings.data)
        check_options((), output, model, **asdict(context))
        pace = load_model(output, model, memory=memory.make_config(), **asdict(context))
        with pace:
            run_stdio(ServerCore(pace, settings, LocalBackends(pace)))
