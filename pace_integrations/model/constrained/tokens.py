"""A tokenizer as the grammar engine sees it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from weakref import WeakKeyDictionary

import numpy as np
import torch
from llguidance import LLTokenizer

from pace_integrations.errors import ConfigError
from pace_integrations.model._transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

_VOCABULARIES: WeakKeyDictionary[PreTrainedTokenizerBase, dict[frozenset[int], Vocabulary]]
_VOCABULARIES = WeakKeyDictionary()


class Vocabulary:
    """A tokenizer as the grammar engine sees it, and its tokens as bytes."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, ends: Iterable[int]) -> None:
        if not isinstance(tokenizer, PreTrainedTokenizerFast):
            raise ConfigError(
                f"{tokenizer.name_or_path!r} has no fast tokenizer, which constrained answers "
                "need; ask without a constraint, or convert the tokenizer to tokenizer.json"
            )
        try:
            self.engine = LLTokenizer(
                _strip_prefix_space(tokenizer), eos_token=sorted(ends) or None
            )
        except Exception as error:  # the engine raises what its Rust parts do
            raise ConfigError(
                f"the tokenizer of {tokenizer.name_or_path!r} cannot be used for constrained "
                f"answers: {error}; ask without a constraint"
            ) from error
        size = self.engine.vocab_size
        self.bytes = [self.engine.decode_bytes([i]) for i in range(size)]
        special = [self.engine.is_special_token(i) for i in range(size)]
        # The lowest id of each text; control tokens spell theirs, but are none of it.
        self.ids = {
            self.bytes[i]: i for i in reversed(range(size)) if self.bytes[i] and not special[i]
        }
        self.lengths = np.array([len(text) for text in self.bytes])
        self.alphanumeric = np.array([text.isalnum() for text in self.bytes], dtype=np.int64)
        self.digits = torch.tensor([text.isdigit() for text in self.bytes])


def _strip_prefix_space(tokenizer: PreTrainedTokenizerFast) -> str:
    """Return a tokenizer as JSON, without the space that many put in front of a text.

    An answer continues a prompt, so the engine must not take forced text to start with one.
    """
    made = json.loads(tokenizer.backend_tokenizer.to_str())
    made |= {"padding": None, "truncation": None}
    for key in ("normalizer", "pre_tokenizer"):
        step = made[key] or {}
        steps = step.get("normalizers") or step.get("pretokenizers") or [step]
        steps[:] = [one for one in steps if one.get("type") != "Prepend"]
        for one in steps:
            one |= {"add_prefix_space": False} if "add_prefix_space" in one else {}
            one |= {"prepend_scheme": "never"} if "prepend_scheme" in one else {}
        if step.get("type") == "Prepend":
            made[key] = None
    return json.dumps(made)


def get_vocabulary(tokenizer: PreTrainedTokenizerBase, ends: frozenset[int]) -> Vocabulary:
    """Return the tokenizer's vocabulary, made once."""
    known = _VOCABULARIES.setdefault(tokenizer, {})
    if ends not in known:
        known[ends] = Vocabulary(tokenizer, ends)
    return known[ends]
