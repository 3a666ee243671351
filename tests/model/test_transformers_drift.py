"""A change in Transformers costs a line in one module: renamed arguments, fewer arguments."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch
from tiny import tiny_model
from torch import Tensor

import pace_integrations
from pace_integrations.model import _transformers
from pace_integrations.model._transformers import DynamicCache, next_token_logits, run_decoder
from pace_integrations.model.forward import token_losses
from pace_integrations.model.kv_cache.cache import new_cache

IDS = torch.randint(3, 128, (1, 12), generator=torch.Generator().manual_seed(0))


class Renamed(torch.nn.Module):
    """A forward as it may be one day: the cache under a third name, and no `logits_to_keep`."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, input_ids: Tensor, kv: object = None, use_cache: bool = False) -> object:
        given = {} if kv is None else _transformers.cache_argument(self.inner, kv)
        return self.inner(input_ids=input_ids, use_cache=use_cache, **given)

    def get_decoder(self) -> torch.nn.Module:
        return Renamed(self.inner.get_decoder())


def test_a_cache_argument_of_a_new_name_costs_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model("llama")
    renamed, config = Renamed(model), model.config
    with pytest.raises(TypeError, match="takes no cache or past_key_values"):
        next_token_logits(renamed, IDS, DynamicCache(config=config))
    # The line:
    monkeypatch.setattr(_transformers, "CACHE_ARGUMENTS", ("kv", *_transformers.CACHE_ARGUMENTS))
    with torch.no_grad():
        cache, other = DynamicCache(config=config), DynamicCache(config=config)
        run_decoder(renamed, IDS[:, :8], cache)
        run_decoder(model, IDS[:, :8], other)
        assert cache.get_seq_length() == 8
        logits = next_token_logits(renamed, IDS[:, 8:], cache)
        # Not to the last digit: without `logits_to_keep` all positions go through the LM head.
        torch.testing.assert_close(logits, next_token_logits(model, IDS[:, 8:], other))
        losses = token_losses(Named(renamed, model), IDS, 5)
        torch.testing.assert_close(losses, token_losses(model, IDS, 5))


class Named(Renamed):
    """The same, with what else is asked of a model."""

    def __init__(self, inner: torch.nn.Module, model: torch.nn.Module) -> None:
        super().__init__(inner.inner)
        self.device = model.device


def test_the_renamed_models_of_this_release_read_with_either_name() -> None:
    """Whatever name the installed release has, it is among those that are known."""
    for family in ("llama", "gpt2", "gpt_bigcode", "bloom", "mpt"):
        model = tiny_model(family)
        with torch.no_grad():
            cache = new_cache(model)
            run_decoder(model, IDS[:, :8], cache)
            logits = next_token_logits(model, IDS[:, 8:], cache)
            whole = model(input_ids=IDS).logits[:, -1]
        torch.testing.assert_close(logits, whole, rtol=1e-3, atol=1e-3)


LOADING = ("gguf", "load_checks", "loading", "precision")


def test_internals_are_touched_in_one_module() -> None:
    """Other modules import classes that Transformers documents, from its top level alone."""
    root = Path(pace_integrations.__file__).parent
    importing = set()
    for path in sorted(root.rglob("*.py")):
        if path.name == "_transformers.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            found = [name for name in names if (name or "").split(".")[0] == "transformers"]
            assert all(name == "transformers" for name in found), f"{path}: {found}"
            importing |= {path.relative_to(root).as_posix()} if found else set()
    # Those that load; for the types, `_transformers` is asked.
    assert importing == {f"model/{name}.py" for name in LOADING}
