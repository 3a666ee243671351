"""Where this package keeps what it writes by itself: one folder, with a room for each kind.

``PACE_HOME`` names the folder; otherwise it is the user's cache folder. Knows paths, no content.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Literal

from platformdirs import user_cache_path

Room = Literal["sessions", "pages", "shared", "experts", "models", "history", "heads"]


def home_folder() -> Path:
    """Return the folder that PACE_HOME names, or the user's cache folder."""
    named = os.environ.get("PACE_HOME")
    return Path(named) if named else user_cache_path("pace-integrations", appauthor=False)


def cache_folder(room: Room) -> Path:
    """Return where one kind of data is kept; the folder need not exist.

    Args:
        room: ``"sessions"`` (read state and text of documents), ``"pages"`` (read state of single
            pages), ``"shared"`` (copies of what lies on shared stores), ``"experts"`` (neuron
            orders), ``"models"`` (checkpoints), ``"history"``
            (questions typed in conversations) or ``"heads"`` (which keys of models find pages).
    """
    return home_folder() / room


def folder_size(path: Path) -> int:
    """Return the bytes of a folder's files; links are not followed."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(OSError):  # gone meanwhile
                total += (Path(folder) / name).lstat().st_size
    return total
