"""The server on Ray Serve: one ingress without a model, and replicas with one each."""

from __future__ import annotations

import importlib
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from fastapi import FastAPI

from pace_integrations._files import make_folder
from pace_integrations.errors import ConfigError
from pace_integrations.ray.cluster import import_ray
from pace_integrations.ray.engine import Engine
from pace_integrations.ray.remote_backend import RemoteBackends, RemoteModel
from pace_integrations.server.app import serve_core
from pace_integrations.server.core import ServerCore
from pace_integrations.server.settings import ServerSettings

_INGRESS_REQUESTS = 4096  # under way at once in the ingress; the core's own queue is shorter


class Ingress:
    """The server's application, whose questions replicas answer.

    Args:
        engine: Ray Serve's handle to the replicas.
        settings: Limits and permissions.
        store: Where libraries are kept, as an address; None keeps them in the server's folder.
    """

    def __init__(self, engine: Any, settings: ServerSettings, store: str | None) -> None:  # noqa: ANN401
        self._engine = engine
        self._settings = settings
        self._store = store

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Return the application; Ray Serve calls this after the constructor."""
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(1) as pool:  # Ray forbids to wait on the event loop's thread
            return pool.submit(self._make_app).result()

    def _make_app(self) -> FastAPI:
        make_folder(self._settings.data)
        backends = RemoteBackends(self._engine, self._settings.data, self._store)
        core = ServerCore(RemoteModel(self._engine).load(), self._settings, backends)
        return serve_core(core)


def deployment(
    *,
    replicas: int | tuple[int, int] = 2,
    settings: ServerSettings | None = None,
    store: str | None = None,
    budget: int | str = "8GB",
    slots: int = 8,
    max_queue: int = 64,
    options: Mapping[str, Any] | None = None,
    **load: Any,  # noqa: ANN401 - arguments of Pace.load
) -> Any:  # noqa: ANN401 - Ray is not installed everywhere
    """Return the server as an application of Ray Serve, for ``serve.run``.

    One ingress without a model speaks the interfaces of ``pace serve``; each replica holds a model.
    Requests of one library and namespace go to one replica, by consistent hashing where the
    installed Ray has it; any other can take over, since what was read lies where all reach it.

    Args:
        replicas: How many, or the fewest and the most of them.
        settings: Limits and permissions of the server. Its `slots` and `max_queue` are taken from
            the arguments here.
        store: Where libraries are kept, as an address that every machine reaches, such as
            ``s3://bucket/pace``; None keeps them below ``settings.data``, which must then be one
            folder for all machines.
        budget: Most bytes of opened libraries in a replica.
        slots: Most questions that a replica answers at once.
        max_queue: Most questions that wait; more get 503.
        options: Ray's options of a replica, such as ``{"num_gpus": 1}``; one CPU by default.
        **load: Arguments of `Pace.load`.

    Raises:
        MissingExtraError: Ray is not installed.
        ConfigError: A setting is outside its range.
    """
    least, most = (replicas, replicas) if isinstance(replicas, int) else replicas
    if not 0 < least <= most or slots < 1:
        raise ConfigError(f"replicas and slots must be at least 1, got {replicas} and {slots}")
    import_ray()
    serve = importlib.import_module("ray.serve")
    given = replace(settings or ServerSettings(), slots=slots * most, max_queue=max_queue)
    engine = serve.deployment(
        Engine,
        name="Engine",
        max_ongoing_requests=slots,
        max_queued_requests=max_queue,
        ray_actor_options=dict(options or {"num_cpus": 1}),
        **_scale(least, most, slots),
        **_find_router(),
    )
    ingress = serve.deployment(
        serve.ingress()(Ingress),
        name="Ingress",
        num_replicas=1,  # it knows who uploaded what, and what was answered
        max_ongoing_requests=_INGRESS_REQUESTS,
        ray_actor_options={"num_cpus": 0},  # or as many replicas as CPUs would wait for room
    )
    return ingress.bind(engine.bind(load, budget), given, store)


def _scale(least: int, most: int, slots: int) -> dict[str, Any]:
    """Return how many replicas Ray Serve keeps."""
    if most == least:
        return {"num_replicas": least}
    bounds = {"min_replicas": least, "max_replicas": most}
    return {"autoscaling_config": {**bounds, "target_ongoing_requests": max(1, slots // 2)}}


def _find_router() -> dict[str, Any]:
    """Return what routes requests of one library to one replica, or nothing in an older Ray."""
    try:
        module = importlib.import_module("ray.serve.experimental.consistent_hash_router")
        config = importlib.import_module("ray.serve.config").RequestRouterConfig
    except (ImportError, AttributeError):
        return {}
    return {"request_router_config": config(request_router_class=module.ConsistentHashRouter)}


def run_replicas(
    settings: ServerSettings,
    announce: Callable[[str], None] = lambda url: None,
    **options: Any,  # noqa: ANN401 - arguments of `deployment`
) -> None:
    """Serve on a cluster until the process is told to stop.

    Args:
        settings: Limits and permissions of the server.
        announce: Called with the server's address once replicas answer.
        **options: As for `deployment`.

    Raises:
        MissingExtraError: Ray is not installed.
    """
    _take_sigterm()
    import_ray()
    serve = importlib.import_module("ray.serve")
    http = importlib.import_module("ray.serve.config").HTTPOptions
    serve.start(http_options=http(host=settings.host, port=settings.port))
    # Ray has put a handler in place of it, which aborts the process after three seconds.
    _take_sigterm()
    try:
        serve.run(deployment(settings=settings, **options), name="pace", route_prefix="/")
        announce(f"http://{settings.host}:{settings.port}")
        threading.Event().wait()
    except KeyboardInterrupt:  # the usual end
        pass
    finally:
        serve.shutdown()


def _take_sigterm() -> None:
    """Let SIGTERM end this process as Ctrl-C does, since replicas would outlive it."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
