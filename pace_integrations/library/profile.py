"""How a model was trained to read pages: what stands beside its weights in ``reading.json``."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from torch import Tensor

from pace_integrations._paths import cache_folder
from pace_integrations.errors import ModelLoadError
from pace_integrations.model.loading import LoadedModel

FILE = "reading.json"
_LEAST = 1e-6  # probabilities below it are taken for it


@dataclass(frozen=True, slots=True)
class Signals:
    """What is known of an answer, from which its support is estimated.

    Attributes:
        likelihood: Geometric mean of the probabilities of its tokens.
        refusal: Probability with which the model refuses to answer.
        verdict: Probability with which it confirms the answer, or None.
        agreement: Likelihood of the answer where all passages stand in one prompt, or None where
            that is how it was written.
        coverage: Share of the question's words that its passages hold.
        refusals: Probabilities with which all the passages refuse that were asked the same one by
            one; none where they stood in one prompt.
        negated: Whether the question is negated and no sentence that fits it best is.
        question_gain: How much likelier its passage makes the question's tokens than all of them
            do on average, as a logarithm; None where it is not known.
        together: Whether the passages stood in one prompt, and were not asked one by one.
    """

    likelihood: float
    refusal: float
    verdict: float | None = None
    agreement: float | None = None
    coverage: float = 0.0
    refusals: tuple[float, ...] = ()
    negated: bool = False
    question_gain: float | None = None
    together: bool = False

    def to_features(self) -> dict[str, float]:
        """Return what a curve of support weighs and is known, by the names of its weights."""
        agreement = self.likelihood if self.agreement is None else self.agreement
        known = {
            "bias": 1.0,
            "log_likelihood": math.log(max(_LEAST, self.likelihood)),
            "refusal_log_odds": _log_odds(self.refusal),
            "log_agreement": math.log(max(_LEAST, agreement)),
            "coverage": self.coverage,
            "negated": float(self.negated),
        }
        if self.verdict is not None:
            known["verdict_log_odds"] = _log_odds(self.verdict)
        if self.refusals:
            known["mean_refusal_log_odds"] = fmean(map(_log_odds, self.refusals))
        if self.question_gain is not None:
            known["question_gain"] = self.question_gain
        return known


@dataclass(frozen=True, slots=True)
class ReadingProfile:
    """The training of a model to read pages.

    Attributes:
        index_layers: 0-based layers whose keys find pages, and whose attention names the page that
            an answer was taken from where the model wrote no number.
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
            ``log_likelihood``, ``refusal_log_odds``, ``verdict_log_odds``, ``log_agreement``,
            ``coverage``, ``mean_refusal_log_odds``, ``negated`` and ``question_gain``, of which any
            may be missing; see `Signals`. None takes (1 - refusal) times likelihood, which orders
            answers and is no probability: answers give it only where there is a `threshold` that
            was measured for it.
        support_together: Weights of another one, for answers to passages that stood in one prompt:
            those are likely far more often than they are right. None takes `support`.
        index_heads: The key heads of them that do, as 0-based pairs of layer and key head; none
            takes all of them.
        by_page: Whether it was trained to read page by page. Others read chosen pages together,
            and each page once by itself for the index alone.
    """

    index_layers: tuple[int, ...] = ()
    selector: str = "bm25"
    threshold: float | None = None
    verification: str | None = None
    yes: str = "Yes"
    no: str = "No"
    support: Mapping[str, float] | None = None
    support_together: Mapping[str, float] | None = None
    index_heads: tuple[tuple[int, int], ...] = ()
    by_page: bool = True

    def select_heads(self, vectors: Tensor) -> Tensor:
        """Return those of all vectors of the index layers that find pages.

        Args:
            vectors: ``(tokens, layers * key heads, size)``.
        """
        if not self.index_heads:
            return vectors
        each = vectors.shape[1] // len(self.index_layers)
        columns = [self.index_layers.index(i) * each + head for i, head in self.index_heads]
        return vectors[:, columns]

    @property
    def index_name(self) -> str:
        """Name that tells indexes of other heads of a model apart; empty for whole layers."""
        heads = json.dumps([self.index_layers, self.index_heads])
        return f"-{hashlib.sha256(heads.encode()).hexdigest()[:8]}" if self.index_heads else ""

    @property
    def measures(self) -> bool:
        """Return True if somebody measured what support says of an answer."""
        return self.support is not None or self.threshold is not None

    @property
    def verifies(self) -> bool:
        """Return True if the model is asked whether its answers are right."""
        return self.verification is not None and self.support is not None

    @property
    def scores_questions(self) -> bool:
        """Return True if it matters how likely a passage makes the question."""
        return self.support is not None and "question_gain" in self.support

    @property
    def compares(self) -> bool:
        """Return True if an answer from one passage is held against all of them together."""
        return self.support is not None and "log_agreement" in self.support

    def is_supported(self, support: float) -> bool | None:
        """Return whether an answer counts as supported, or None where nobody has measured that."""
        least = self.threshold
        if least is None:
            least = 0.5 if self.support is not None else None
        return None if least is None else support >= least

    def estimate_support(self, signals: Signals) -> float:
        """Return how well the pages support an answer, 0 to 1."""
        if self.support is None:
            return (1.0 - signals.refusal) * signals.likelihood
        weights = (self.support_together if signals.together else None) or self.support
        seen = signals.to_features()
        total = sum(weight * seen.get(name, 0.0) for name, weight in weights.items())
        return 1.0 / (1.0 + math.exp(-max(-50.0, min(50.0, total))))

    def to_dict(self) -> dict[str, Any]:
        """Return the profile as JSON-ready values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> ReadingProfile:
        """Return a profile from JSON-ready values; unknown fields are skipped."""
        known = {name: saved[name] for name in cls.__slots__ if saved.get(name) is not None}
        heads = tuple((int(layer), int(head)) for layer, head in known.get("index_heads", ()))
        layers = known.get("index_layers") or dict.fromkeys(layer for layer, _ in heads)
        known["index_layers"] = tuple(int(layer) for layer in layers)
        if any(layer not in known["index_layers"] for layer, _ in heads):
            raise ValueError("index_heads has a layer that index_layers has not")
        return cls(**{**known, "index_heads": heads})


def _log_odds(chance: float) -> float:
    """Return the log odds of a probability, kept finite."""
    kept = min(1.0 - _LEAST, max(_LEAST, chance))
    return math.log(kept / (1.0 - kept))


def calibrated_profile_path(loaded: LoadedModel) -> Path:
    """Return where the profile of a model lies that brings none; see `calibrate_heads`."""
    facts = loaded.identity_facts()
    # Heads belong to the weights, however precisely they are held.
    wanted = {name: facts[name] for name in ("revision", "experts")}
    key = hashlib.sha256(json.dumps(wanted, sort_keys=True, default=str).encode()).hexdigest()
    return cache_folder("heads") / f"{key[:24]}.json"


def find_profile(loaded: LoadedModel) -> ReadingProfile | None:
    """Return how a model reads pages: as its files say, or else as it was calibrated; or None.

    Raises:
        ModelLoadError: Its ``reading.json`` cannot be read.
    """
    folders = [loaded.adapter_folder, loaded.model.name_or_path]
    paths = [Path(folder) / FILE for folder in folders if folder]
    for path in (*paths, calibrated_profile_path(loaded)):
        if not path.is_file():
            continue
        try:
            return ReadingProfile.from_dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise ModelLoadError(f"{str(path)!r} cannot be read: {error}") from error
    return None
