"""Where a library lies: in a folder of this machine, or on a store that several machines share."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pace_integrations._files import make_cache_folder
from pace_integrations._paths import cache_folder
from pace_integrations.library.catalog import Catalog
from pace_integrations.library.shared_catalog import SharedCatalog
from pace_integrations.store.shared_folder import SharedFolder, is_url


@dataclass(frozen=True, slots=True)
class LibraryPlace:
    """A library's place.

    Attributes:
        folder: Where it lies on this machine, or what is copied of it.
        shared: Where several machines reach it, or None.
    """

    folder: Path
    shared: SharedFolder | None = None

    def open_catalog(self, settings: Mapping[str, Any]) -> Catalog:
        """Return its documents.

        Args:
            settings: How a new library is made, JSON-ready.

        Raises:
            LibraryFileError: Something else is there, or a damaged library.
        """
        if self.shared is None:
            return Catalog(self.folder, settings)
        return SharedCatalog(self.folder, settings, self.shared)


def find_place(place: str | os.PathLike[str]) -> LibraryPlace:
    """Return where a library lies.

    Args:
        place: A folder, or an address that fsspec opens, such as ``s3://bucket/reports``.

    Raises:
        ConfigError: Nothing that is installed opens the address.
    """
    if not is_url(place):
        return LibraryPlace(Path(place).expanduser())
    shared = SharedFolder(str(place))
    copies = cache_folder("shared")
    make_cache_folder(copies)
    return LibraryPlace(copies / hashlib.sha256(shared.url.encode()).hexdigest()[:32], shared)
