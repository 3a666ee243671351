"""``pace serve``: OpenAI's interface, a page in the browser and MCP, on folders of documents."""

from __future__ import annotations

import importlib.util
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pace_integrations._files import make_folder
from pace_integrations.cli.arguments import parse_path
from pace_integrations.cli.opening import check_options, load_model
from pace_integrations.cli.options import ContextOptions, MemoryOptions, ModelOptions, expand_groups
from pace_integrations.cli.output import Output, report_errors
from pace_integrations.errors import MissingExtraError

if TYPE_CHECKING:
    from pace_integrations.server import ServerSettings

Folders = Annotated[
    list[Path] | None,
    typer.Argument(metavar="FOLDER", help="Folders to read, each a library.", parser=parse_path),
]
Host = Annotated[str, typer.Option(help="Address to listen on; others than loopback need a key.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0: a free one.")]
ApiKey = Annotated[
    list[str] | None,
    typer.Option(envvar="PACE_API_KEY", help="Key that clients must send; repeat it for several."),
]
Root = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="DIR",
        parser=parse_path,
        help="Folder below which clients may name files of this machine; repeat it.",
    ),
]
Data = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        parser=parse_path,
        help="Folder for uploads and libraries; default: below PACE_HOME.",
    ),
]
AllowHost = Annotated[
    list[str] | None, typer.Option(help="Name by which clients reach the server; repeat it.")
]
AllowOrigin = Annotated[
    list[str] | None, typer.Option(help="Origin of web pages that may call the server; repeat it.")
]
Slots = Annotated[int, typer.Option(min=1, help="Most requests that are answered at once.")]
MaxQueue = Annotated[
    int | None, typer.Option(min=0, help="Most requests that wait; default: twice --slots.")
]
MaxPerKey = Annotated[
    int | None, typer.Option(min=1, help="Most requests of one key at once; default: no limit.")
]
Ray = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="Answer with N replicas on a Ray cluster; default: this process."
    ),
]
Store = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        envvar="PACE_STORE",
        help="With --ray: where replicas keep libraries, such as s3://bucket/pace.",
    ),
]
Timeout = Annotated[float | None, typer.Option(help="Most seconds of an answer; default: none.")]


def require_packages(feature: str, extra: str, *names: str) -> None:
    """Refuse a command whose packages are not installed.

    Raises:
        MissingExtraError: One is not.
    """
    if any(importlib.util.find_spec(name) is None for name in names):
        raise MissingExtraError(feature, extra)


@expand_groups
def serve(
    model: ModelOptions,
    memory: MemoryOptions,
    context: ContextOptions,
    folders: Folders = None,
    host: Host = "127.0.0.1",
    port: Port = 8321,
    api_key: ApiKey = None,
    root: Root = None,
    data: Data = None,
    allow_host: AllowHost = None,
    allow_origin: AllowOrigin = None,
    slots: Slots = 16,
    max_queue: MaxQueue = None,
    max_per_key: MaxPerKey = None,
    timeout: Timeout = None,
    ray: Ray = None,
    store: Store = None,
) -> None:
    """Serve documents to browsers, to OpenAI's clients and to assistants (MCP at /mcp)."""
    output = Output(json=False)
    with report_errors(output):
        require_packages("the server", "server", "fastapi", "uvicorn", "python_multipart")
        from pace_integrations.server import ServerSettings

        given = {
            "data": data,
            "allowed_hosts": tuple(allow_host) if allow_host else None,
            "max_queue": max_queue,
            "max_per_key": max_per_key,
            "timeout": timeout,
        }
        settings = ServerSettings(
            host=host,
            port=port,
            api_keys=tuple(api_key or ()),
            folders=tuple(folders or ()),
            roots=tuple(root or ()),
            origins=tuple(allow_origin or ()),
            slots=slots,
            **{name: value for name, value in given.items() if value is not None},  # type: ignore[arg-type]
        )
        if ray is not None:
            _run_replicas(
                output, settings, ray, store, memory, {**asdict(model), **asdict(context)}
            )
        else:
            _run(output, settings, model, memory, context)


def _run(
    output: Output,
    settings: ServerSettings,
    model: ModelOptions,
    memory: MemoryOptions,
    context: ContextOptions,
) -> None:
    from pace_integrations.server import make_app
    from pace_integrations.server.running import open_socket, run_server

    with open_socket(settings) as opened:  # refused before a model is loaded
        make_folder(settings.data)
        check_options((), output, model, **asdict(context))
        pace = load_model(output, model, memory=memory.make_config(), **asdict(context))

        def announce(url: str) -> None:
            count = len(settings.folders)
            what = f"; reading {count} folder{'s' * (count != 1)}" if count else ""
            output.show_notes([f"{pace.name} answers on {url}{what} (Ctrl-C ends it)"])

        with pace:
            run_server(make_app(pace, settings), opened, announce)


def _run_replicas(
    output: Output,
    settings: ServerSettings,
    replicas: int,
    store: str | None,
    memory: MemoryOptions,
    load: dict[str, object],
) -> None:
    require_packages("replicas on a cluster", "ray", "ray")
    from pace_integrations.ray.serving import run_replicas

    def announce(url: str) -> None:
        output.show_notes([f"{replicas} replicas answer on {url} (Ctrl-C ends it)"])

    slots = {"slots": settings.slots, "max_queue": settings.queue_length}
    run_replicas(
        settings, announce, replicas=replicas, store=store, memory=memory.make_config(),
        **slots, **load,
    )  # fmt: skip
