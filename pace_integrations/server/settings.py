"""What a server is started with."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from pace_integrations._paths import home_folder
from pace_integrations.errors import ConfigError

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]", "::1")


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Limits and permissions of a server.

    Attributes:
        host: Address that is listened on.
        port: Port that is listened on.
        api_keys: Keys that clients may present; without any, everybody who reaches it is served.
        folders: Folders that are libraries from the start, for every key.
        roots: Folders below which clients may name files of this machine; none by default.
        data: Folder for uploaded files and libraries.
        allowed_hosts: Names that the ``Host`` header may have besides those of the loopback
            address; None allows any name where the server does not listen on loopback only.
        origins: Origins of pages from elsewhere that may call it; none by default.
        slots: Most requests that are answered at once.
        max_queue: Most requests that wait beside those; more get 503. None is twice `slots`.
        max_per_key: Most requests of one key that run or wait; more get 429. None is no limit.
        max_upload: Most bytes of one uploaded file.
        max_body: Most bytes of any other request.
        ping_seconds: Seconds without an event after which a stream sends a comment.
        timeout: Seconds an answer may take; None waits for as long as it takes.
    """

    host: str = "127.0.0.1"
    port: int = 8321
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    folders: tuple[Path, ...] = ()
    roots: tuple[Path, ...] = ()
    data: Path = field(default_factory=lambda: home_folder() / "server")
    allowed_hosts: tuple[str, ...] | None = None
    origins: tuple[str, ...] = ()
    slots: int = 16
    max_queue: int | None = None
    max_per_key: int | None = None
    max_upload: int = 100 * 2**20
    max_body: int = 16 * 2**20
    ping_seconds: float = 15.0
    timeout: float | None = None

    def __post_init__(self) -> None:
        if not is_loopback(self.host) and not self.api_keys:
            raise ConfigError(
                f"host {self.host!r} is reached by others; give --api-key (or PACE_API_KEY), or "
                "keep --host 127.0.0.1"
            )
        if any(len(key) < 8 for key in self.api_keys):
            raise ConfigError("an API key needs at least 8 characters")
        for name in ("slots", "max_upload", "max_body", "ping_seconds"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} must be positive, got {getattr(self, name)}")
        if self.max_queue is not None and self.max_queue < 0:
            raise ConfigError(f"max_queue must not be negative, got {self.max_queue}")
        for path in (*self.folders, *self.roots):
            if not path.exists():
                raise ConfigError(f"{str(path)!r} does not exist; check the path")

    @property
    def queue_length(self) -> int:
        """Most requests that wait."""
        return 2 * self.slots if self.max_queue is None else self.max_queue

    def find_namespace(self, presented: str | None) -> str | None:
        """Return whose data a key gives access to; None where the key is wrong.

        Every key is compared, each in constant time, so that the time tells nothing.
        """
        if not self.api_keys:
            return "local"
        given = hashlib.sha256((presented or "").encode("utf-8", "surrogatepass")).digest()
        found = None
        for key in self.api_keys:
            if hmac.compare_digest(given, hashlib.sha256(key.encode()).digest()):
                found = hashlib.sha256(b"namespace:" + key.encode()).hexdigest()[:24]
        return found

    def find_below_root(self, path: str) -> Path:
        """Return a path of this machine that a client named.

        Raises:
            ConfigError: It does not lie below a root, links followed.
        """
        wanted = Path(path).expanduser().resolve()
        if not any(wanted.is_relative_to(root.resolve()) for root in self.roots):
            roots = ", ".join(map(str, self.roots)) or "none was given: start it with --root FOLDER"
            raise ConfigError(f"{path!r} lies below no folder that this server may read ({roots})")
        return wanted

    def is_known_host(self, name: str) -> bool:
        """Return whether a ``Host`` header's name is one that this server answers to."""
        listed: Sequence[str] = self.allowed_hosts or ()
        if name in LOOPBACK_NAMES or name in listed or name == self.host:
            return True
        return self.allowed_hosts is None and not is_loopback(self.host)
