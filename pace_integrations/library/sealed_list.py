"""A library's list of documents as bytes: what it says, under a hash of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def parse_list(data: bytes) -> tuple[dict[str, Any], str]:
    """Return what a list of documents says, and its seal.

    Raises:
        ValueError: It is damaged; says how.
    """
    try:
        saved = json.loads(data)
        seal = saved.pop("sha256")
    except (ValueError, AttributeError, KeyError) as error:
        raise ValueError("cannot be read") from error
    if seal != seal_list(saved):
        raise ValueError("was changed")
    return dict(saved), str(seal)


def seal_list(saved: Mapping[str, Any]) -> str:
    """Return the seal of what a list says."""
    return hashlib.sha256(json.dumps(saved, sort_keys=True).encode()).hexdigest()
