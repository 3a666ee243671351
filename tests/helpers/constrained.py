"""Random JSON schemas, and a model that likes every token equally."""

from __future__ import annotations

from typing import Any

import torch
from checkpoints import byte_tokenizer
from hypothesis import strategies as st

from pace_integrations import Constraint
from pace_integrations.model.constrained.guide import Guide

TOKENIZER = byte_tokenizer()


END = TOKENIZER.eos_token_id


PADDED = len(TOKENIZER) + 12  # models pad their vocabulary


def roam(constraint: Constraint, budget: int, seed: int) -> str:
    """A text as a model writes it that likes every token equally: no model is less helpful."""
    guide, random = Guide(constraint, TOKENIZER, {END}, budget), torch.Generator()
    random.manual_seed(seed)

    def choose(logits: torch.Tensor) -> torch.Tensor:
        return torch.multinomial(logits.softmax(-1), 1, generator=random)[0]

    ids: list[int] = []
    while not guide.complete and len(ids) < budget:
        ids.append(int(guide.choose_token(torch.zeros(1, PADDED), choose)))
    return TOKENIZER.decode(ids, skip_special_tokens=True)


NAMES = st.text("abcdefgh_", min_size=1, max_size=6)


LEAVES = st.one_of(
    st.sampled_from(
        [
            {"type": "string"},
            {"type": "string", "minLength": 2, "maxLength": 7},
            {"type": "string", "pattern": "^[A-Z]{2}[0-9]+$"},
            {"type": "string", "format": "date"},
            {"type": "integer"},
            {"type": "integer", "minimum": 3, "maximum": 11},
            {"type": "number"},
            {"type": "number", "exclusiveMinimum": 0},
            {"type": "boolean"},
            {"type": "null"},
            {"const": 12},
            {"type": ["string", "null"]},
        ]
    ),
    st.lists(NAMES, min_size=1, max_size=4, unique=True).map(lambda names: {"enum": names}),
)


@st.composite
def objects(draw: st.DrawFn, inner: st.SearchStrategy[dict[str, Any]]) -> dict[str, Any]:
    properties = draw(st.dictionaries(NAMES, inner, max_size=4))
    required = (
        draw(st.lists(st.sampled_from(sorted(properties)), unique=True)) if properties else []
    )
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": draw(st.booleans()),
    }


def branches(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.one_of(
        objects(inner),
        st.builds(
            lambda items, low, more: {
                "type": "array",
                "items": items,
                "minItems": low,
                "maxItems": low + more,
            },
            inner,
            st.integers(0, 2),
            st.integers(0, 3),
        ),
        st.builds(lambda items: {"type": "array", "items": items}, inner),
        st.lists(inner, min_size=1, max_size=3).map(lambda options: {"anyOf": options}),
    )


SCHEMAS = st.recursive(LEAVES, branches, max_leaves=8)
