"""Removes what this package keeps by itself beside sessions."""

from __future__ import annotations

import os
from pathlib import Path

from pace_integrations._files import is_cache_folder, remove_tree
from pace_integrations._paths import Room, cache_folder


def wipe_rooms() -> list[Room]:
    """Remove what else is kept by itself: page states, copies, neuron orders, history; models stay.

    Returns:
        The rooms that hold something which could not be removed, or shows no mark of ours.
    """
    rooms: tuple[Room, ...] = ("pages", "shared", "experts", "history")
    return [room for room in rooms if not _wipe_room(cache_folder(room))]


def _wipe_room(folder: Path) -> bool:
    return not os.path.lexists(folder) or (is_cache_folder(folder) and remove_tree(folder))
