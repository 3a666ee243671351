"""Runs the application on an address until it is stopped."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from pace_integrations.errors import ConfigError
from pace_integrations.server.settings import ServerSettings

_GRACE = 5  # seconds that answers under way have when the server is stopped
_BACKLOG = 128


def open_socket(settings: ServerSettings) -> socket.socket:
    """Return a socket that listens on the server's address; port 0 takes a free one.

    Raises:
        ConfigError: The address cannot be listened on.
    """
    host = settings.host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((host, settings.port))
    except (OSError, OverflowError) as error:
        opened.close()
        why = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"{settings.host}:{settings.port} cannot be listened on: {why}; give another --port"
        ) from error
    return opened


def run_server(
    app: FastAPI, opened: socket.socket, announce: Callable[[str], None] = lambda url: None
) -> None:
    """Serve an application on a socket until the process is told to stop.

    Args:
        app: The application.
        opened: The socket.
        announce: Called with the server's address once it takes connections.
    """
    opened.listen(_BACKLOG)  # before it is announced: who comes at once waits, and is not refused
    host, port = opened.getsockname()[:2]
    announce(f"http://{f'[{host}]' if ':' in host else host}:{port}")
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,  # the gate's own lines hold no query
        server_header=False,
        timeout_graceful_shutdown=_GRACE,
    )
    uvicorn.Server(config).run(sockets=[opened])
