"""How a model was trained to read pages: what stands beside its weights in ``reading.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pace_integrations.errors import ModelLoadError
from pace_integrations.model.loading import LoadedModel
from pace_integrations.model.registry import MODELS

FILE = "reading.json"


@dataclass(frozen=True, slots=True)
class ReadingProfile:
    """How a model was trained to read pages.

    Attributes:
        index_layers: 0-based layers whose keys find pages.
        threshold: Support from which an answer counts as supported by the pages.
        verification: What the model is asked about a proposed answer, with ``{question}`` and
            ``{answer}``, or None where it was not trained for that.
        yes: The word with which it confirms.
        no: The word with which it does not.
    """

    index_layers: tuple[int, ...] = ()
    threshold: float = 0.5
    verification: str | None = None
    yes: str = "Yes"
    no: str = "No"

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> ReadingProfile:
        """Return a profile from JSON-ready values; fields it does not know are passed over."""
        known = {name: saved[name] for name in cls.__slots__ if saved.get(name) is not None}
        known["index_layers"] = tuple(int(layer) for layer in known.get("index_layers", ()))
        return cls(**known)


def find_profile(loaded: LoadedModel) -> ReadingProfile | None:
    """Return how a model was trained to read pages, or None if it was not.

    Raises:
        ModelLoadError: Its ``reading.json`` cannot be read.
    """
    named = MODELS.get(loaded.name)
    folders = [loaded.adapter, named.adapter if named else None, loaded.model.name_or_path]
    for path in (Path(folder) / FILE for folder in folders if folder):
        if not path.is_file():
            continue
        try:
            return ReadingProfile.from_dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise ModelLoadError(f"{str(path)!r} cannot be read: {error}") from error
    return None
