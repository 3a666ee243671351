"""Frozen settings, validated when they are made. No module here knows a model or a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self

from pace_integrations._checks import check_types, require
from pace_integrations._memory_rules import RULES
from pace_integrations._renamed import keep_renamed
from pace_integrations.errors import ConfigError

if TYPE_CHECKING:  # a type checker cannot look into the registry
    Rule = str
else:
    Rule = Literal[tuple(RULES)]
Values = Literal["activations", "outputs"]
Similarity = Literal["full", "experts"]
Quantization = Literal["int8", "int4", "nf4"]
Overflow = Literal["error", "yarn", "window", "ahn"]
KvDtype = Literal["full", "int8"]

__getattr__ = keep_renamed(__name__)
Solver = Literal["fast", "constrained"]
ClusterBy = Literal["weights", "coactivation", "random"]
Choice = Literal["token", "chunk"]

_COLDEST = 1e-4  # temperatures below it overflow when logits are divided by them
_BY_RULE: Any = None  # the default that `RULES` has for the rule


def _sort_layers(config: MemoryConfig | ExpertConfig, instead: str) -> None:
    """Sort the layers of a configuration, each once; None stays None."""
    if config.layers is not None:
        object.__setattr__(config, "layers", tuple(sorted(set(config.layers))))
        require(bool(config.layers), f"layers names no layer; {instead}")
        low = min(config.layers)
        require(low >= 0, f"layers are 0-based and not negative, got {config.layers}")


@dataclass(frozen=True, slots=True)
class MemoryConfig:
    """Settings of the Activation Memory Bank (PaceLLM, arXiv 2506.17310, section 3).

    The defaults are those of the authors' released code; thresholds and blend that are not given
    are those of the rule: 0.7, 0.3 and 1 in the paper, otherwise 0.75, 0.25 and 0.2.

    Attributes:
        rule: How activations are mixed and stored: ``"released"`` is the authors' code,
            ``"paper"`` is Algorithm 1 as printed, ``"slotwise"`` is ours and does not collapse.
        slots: Slots per bank (M).
        top_k: Most similar slots that are mixed in (k).
        bottom_k: Least similar slots that are mixed in (k').
        negative_weight: Weight of the least similar slots (lambda).
        theta_high: Cosine similarity above which a stored value is reused.
        theta_low: Cosine similarity above which it is mixed and merged.
        blend: Share of the memory's output in the activation (alpha); 0 changes nothing.
        preserve_norm: Whether an activation keeps its length when the memory is mixed in. Neither
            the paper nor the authors' code does that; theirs mostly makes activations shorter.
        momentum: Share of the old slot kept in a merge (m); the paper's rule always keeps half.
        similarity: ``"full"`` compares whole activations; ``"experts"`` compares, mixes and stores
            each of `experts` blocks of neighbouring neurons by itself.
        experts: Blocks of ``similarity="experts"``; they must divide the width of the activations.
        values: What a bank keeps beside its keys and mixes in: ``"activations"`` as in the paper,
            or ``"outputs"`` of the block, which are several times narrower. The memory is then
            mixed into the output. The last projection is linear, so without `preserve_norm` and
            without a bias both give the same up to rounding; a bias is mixed in as well, and
            `preserve_norm` keeps the length of the output.
        horizon: Tokens in which ``"slotwise"`` renews a full bank once.
        step: Most tokens of one sequence that are looked up and stored together.
        layers: 0-based decoder layers that carry a bank; None takes the paper's relative depths.
        thresholds: Thresholds of single layers, ``(layer, theta_low, theta_high)`` each; other
            layers have those above. Similarities lie higher in some layers than in others.
        write_while_decoding: Whether questions and answers enter the bank while they are asked.
    """

    rule: Rule = "released"
    slots: int = 100
    top_k: int = 5
    bottom_k: int = 2
    negative_weight: float = 0.1
    theta_high: float = _BY_RULE
    theta_low: float = _BY_RULE
    blend: float = _BY_RULE
    preserve_norm: bool = False
    momentum: float = 0.5
    similarity: Similarity = "full"
    experts: int | None = None
    values: Values = "activations"
    horizon: int = 65536
    step: int = 1024
    layers: tuple[int, ...] | None = None
    thresholds: tuple[tuple[int, float, float], ...] | None = None
    write_while_decoding: bool = False

    def __post_init__(self) -> None:
        check_types(self)
        for name in ("theta_high", "theta_low", "blend"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, getattr(RULES[self.rule], name))
        self._check_experts()
        for name in ("slots", "top_k", "bottom_k", "horizon", "step"):
            value = getattr(self, name)
            require(value >= 1, f"{name} must be at least 1, got {value}")
        for name, value in (("blend", self.blend), ("momentum", self.momentum)):
            require(0.0 <= value <= 1.0, f"{name} must lie in [0, 1], got {value}")
        own = tuple(sorted(self.thresholds or ()))
        object.__setattr__(self, "thresholds", None if self.thresholds is None else own)
        require(len({i for i, _, _ in own}) == len(own), f"thresholds name a layer twice: {own}")
        for low, high in [(self.theta_low, self.theta_high), *((a, b) for _, a, b in own)]:
            require(
                -1.0 <= low <= high <= 1.0, f"need -1 <= theta_low {low} <= theta_high {high} <= 1"
            )
        _sort_layers(self, "memory=None turns the memory off")

    def _check_experts(self) -> None:
        if self.similarity == "full":
            require(self.experts is None, "experts needs similarity='experts' to have an effect")
        else:
            require(
                self.values == "activations",
                "values='outputs' needs similarity='full': a block's output is the sum over its "
                "modules and cannot be taken apart",
            )
            require((self.experts or 0) >= 1, f"experts must be at least 1, got {self.experts}")

    def at(self, layer: int) -> MemoryConfig:
        """Return the settings of one layer's bank."""
        own = [row for row in self.thresholds or () if row[0] == layer]
        if not own:
            return self
        _, low, high = own[0]
        return replace(self, theta_low=low, theta_high=high, thresholds=None)


@dataclass(frozen=True, slots=True)
class ExpertConfig:
    """Division of the neurons into experts of equal size (PaceLLM, arXiv 2506.17310, section 3).

    Reordering alone changes no answer beyond rounding; it gives modules that can be watched,
    looked up (`MemoryConfig.similarity`) and switched (`active`).

    Attributes:
        experts: Experts per layer; it divides the width of the feed-forward blocks.
        solver: ``"fast"`` is ours, ``"constrained"`` the paper's (the ``experts`` extra).
        by: What makes neurons alike: their ``"weights"`` as in the paper, ``"coactivation"`` on
            `text`, or nothing at all: ``"random"`` is the control that any effect must beat.
        seed: Seed of the division.
        layers: 0-based decoder layers; None takes every dense one.
        text: Text on which neurons are watched, for ``by="coactivation"``.
        active: Experimental. Share of the experts that take part, those most active on a token or
            chunk; the activations of the others are set to zero. None leaves all of them on. It
            shows how quality depends on the share; it saves no time.
        choice: Whether experts are chosen for each ``"token"``, or for each ``"chunk"`` of tokens
            that go through the model together.
        cache: Folder where divisions are kept; None is the user's cache folder.
    """

    experts: int = 64
    solver: Solver = "fast"
    by: ClusterBy = "weights"
    seed: int = 0
    layers: tuple[int, ...] | None = None
    text: str = ""
    active: float | None = None
    choice: Choice = "token"
    cache: str | None = None

    def __post_init__(self) -> None:
        check_types(self)
        require(self.experts >= 1, f"experts must be at least 1, got {self.experts}")
        share = self.active
        require(share is None or 0.0 < share <= 1.0, f"active must lie in (0, 1], got {share}")
        require(
            self.by != "coactivation" or bool(self.text.strip()),
            "by='coactivation' needs a text to watch the neurons on: set ExpertConfig(text=...)",
        )
        require(-(2**63) <= self.seed < 2**64, f"seed must have at most 64 bits, got {self.seed}")
        _sort_layers(self, "experts=None leaves all as they are")


@dataclass(frozen=True, slots=True)
class ReadConfig:
    """How a corpus is read.

    Attributes:
        chunk: Tokens per prefill forward. It bounds memory and never changes the result.
        reserve: Tokens of the context that the corpus leaves free for question and answer.
        checkpoints: Most document boundaries, at least a chunk apart, at which the state is kept,
            to go back to when documents are removed or replaced. Each costs the memory banks once
            more, the cache not at all.
    """

    chunk: int = 1024
    reserve: int = 512
    checkpoints: int = 8

    def __post_init__(self) -> None:
        check_types(self)
        require(self.reserve >= 1, f"reserve must be at least 1 token, got {self.reserve}")
        require(self.chunk >= 1, f"chunk must be at least 1 token, got {self.chunk}")
        require(self.checkpoints >= 0, f"checkpoints must not be negative, got {self.checkpoints}")


@dataclass(frozen=True, slots=True)
class Constraint:
    """What the text of an answer must match; made by the class methods.

    Attributes:
        kind: What `source` is written in.
        source: A JSON schema as JSON, a regular expression, or a grammar in llguidance's Lark.
        open_objects: Whether objects of a JSON schema may hold properties that it does not name.
    """

    kind: Literal["json_schema", "regex", "lark"]
    source: str
    open_objects: bool = False

    def __post_init__(self) -> None:
        check_types(self)

    @classmethod
    def json_schema(cls, schema: Mapping[str, Any], *, open_objects: bool = False) -> Self:
        """Hold an answer to JSON that is valid under a schema, without white space in it.

        What no grammar can say (``uniqueItems``, an unknown ``format``) is not held, but logged.

        Args:
            schema: The schema.
            open_objects: Whether an object that does not say so may hold further properties.

        Raises:
            ConfigError: The schema is not made of JSON values.
        """
        try:
            return cls("json_schema", json.dumps(schema, allow_nan=False), open_objects)
        except (TypeError, ValueError, RecursionError) as error:
            raise ConfigError(f"a JSON schema must be made of JSON values: {error}") from error

    @classmethod
    def regex(cls, expression: str) -> Self:
        """Text that a regular expression matches as a whole."""
        return cls("regex", expression)

    @classmethod
    def choice(cls, *options: str) -> Self:
        """One of several texts.

        Raises:
            ConfigError: There are no options, or one is empty.
        """
        require(bool(options) and all(options), "a choice needs options that are not empty")
        texts = (json.dumps(option, ensure_ascii=False) for option in options)
        return cls("lark", f"start: {' | '.join(texts)}")

    @classmethod
    def lark(cls, grammar: str) -> Self:
        """Text of a grammar in llguidance's dialect of Lark, which can embed JSON schemas."""
        return cls("lark", grammar)


@dataclass(frozen=True, slots=True)
class GenerationConfig:
    """How an answer is written.

    Attributes:
        max_new_tokens: Most tokens of one answer.
        temperature: 0 is greedy, and so is all below 0.0001, which float32 cannot tell from it;
            above, tokens are sampled.
        top_p: Smallest probability mass sampled from; 1 is all of it.
        top_k: Most likely tokens sampled from; 0 is all of them.
        seed: Seed of the sampling; None draws a new one for every answer.
        stop: Strings that end the answer; none of them is part of its text.
        constraint: What the answer must match; it is complete within `max_new_tokens`, or refused
            before it starts.
    """

    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    constraint: Constraint | None = None

    def __post_init__(self) -> None:
        stop: object = self.stop  # a lone string is an easy mistake; its letters are not meant
        object.__setattr__(self, "stop", (stop,) if isinstance(stop, str) else stop)
        check_types(self)
        require(self.max_new_tokens >= 1, f"max_new_tokens must be >= 1, got {self.max_new_tokens}")
        require(self.temperature >= 0, f"temperature must not be negative, got {self.temperature}")
        if self.temperature < _COLDEST:
            object.__setattr__(self, "temperature", 0.0)
        require(0.0 < self.top_p <= 1.0, f"top_p must lie in (0, 1], got {self.top_p}")
        require(self.top_k >= 0, f"top_k must not be negative, got {self.top_k}")
        seed = self.seed or 0
        require(-(2**63) <= seed < 2**64, f"seed must have at most 64 bits, got {seed}")
        require(all(self.stop), "stop strings must not be empty")
