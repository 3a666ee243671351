"""How a model was trained to read pages: what stands beside its weights in ``reading.json``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pace_integrations.errors import ModelLoadError
from pace_integrations.model.loading import LoadedModel
from pace_integrations.model.registry import MODELS

FILE = "reading.json"
_LEAST = 1e-6  # probabilities below it are taken for it


@dataclass(frozen=True, slots=True)
class ReadingProfile:
    """The training of a model to read pages.

    Attributes:
        index_layers: 0-based layers whose keys find pages.
        selector: What chooses passages where nothing else is asked for: ``"fused"`` is for models
            of which it was measured that their keys find what words do not.
        threshold: Support from which an answer counts as supported by the pages. None takes 0.5
            where support is fitted, and otherwise lets no answer count as unsupported.
        verification: What the model is asked right behind its answer, to be answered yes or no,
            or None where it was not trained for that. It is asked where support is fitted, which
            says how much the verdict is worth.
        yes: The word with which it confirms.
        no: The word with which it does not.
        support: Weights of a logistic curve fitted to how often answers are right: ``bias``,
            ``log_likelihood``, ``refusal_log_odds`` and ``verdict_log_odds``. None takes
            (1 - refusal) times likelihood, which orders answers and is no probability: answers
            give it only where there is a `threshold` that was measured for it.
    """

    index_layers: tuple[int, ...] = ()
    selector: str = "bm25"
    threshold: float | None = None
    verification: str | None = None
    yes: str = "Yes"
    no: str = "No"
    support: Mapping[str, float] | None = None

    @property
    def measures(self) -> bool:
        """Return True if somebody measured what support says of an answer."""
        return self.support is not None or self.threshold is not None

    @property
    def verifies(self) -> bool:
        """Return True if the model is asked whether its answers are right."""
        return self.verification is not None and self.support is not None

    def is_supported(self, support: float) -> bool | None:
        """Return whether an answer counts as supported, or None where nobody has measured that."""
        least = self.threshold
        if least is None:
            least = 0.5 if self.support is not None else None
        return None if least is None else support >= least

    def estimate_support(self, likelihood: float, refusal: float, verdict: float | None) -> float:
        """Return how well the pages support an answer, 0 to 1.

        Args:
            likelihood: Geometric mean of the probabilities of its tokens.
            refusal: Probability with which the model refuses to answer.
            verdict: Probability with which it confirms the answer, or None.
        """
        if self.support is None:
            return (1.0 - refusal) * likelihood
        seen = {
            "bias": 1.0,
            "log_likelihood": math.log(max(_LEAST, likelihood)),
            "refusal_log_odds": _log_odds(refusal),
            "verdict_log_odds": 0.0 if verdict is None else _log_odds(verdict),
        }
        total = sum(self.support.get(name, 0.0) * value for name, value in seen.items())
        return 1.0 / (1.0 + math.exp(-max(-50.0, min(50.0, total))))

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> ReadingProfile:
        """Return a profile from JSON-ready values; unknown fields are skipped."""
        known = {name: saved[name] for name in cls.__slots__ if saved.get(name) is not None}
        known["index_layers"] = tuple(int(layer) for layer in known.get("index_layers", ()))
        return cls(**known)


def _log_odds(chance: float) -> float:
    """Return the log odds of a probability, kept finite."""
    kept = min(1.0 - _LEAST, max(_LEAST, chance))
    return math.log(kept / (1.0 - kept))


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
