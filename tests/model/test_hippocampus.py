"""Reading in a window with AHN: what each token sees, chunk by chunk, and what is kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import pytest
import torch
from tiny import tiny_model
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.masking_utils import AttentionMaskInterface

from pace_integrations.ahn import KINDS, AHNConfig
from pace_integrations.errors import ConfigError, SessionFileError
from pace_integrations.model.forward import predict_last
from pace_integrations.model.hippocampus import HippocampusPatch
from pace_integrations.model.kv_cache.cache import cache_tensors, fork_cache, new_cache

SINKS, WINDOW = 5, 16
FAMILIES = ["qwen2", "qwen3", "llama"]
IDS = torch.randint(3, 128, (2, 90), generator=torch.Generator().manual_seed(0))


def patched(
    family: str = "qwen3", kind: str = "gdn", *, silent: bool = False, bare: bool = False
) -> HippocampusPatch:
    """Networks with weights of every name on a tiny model."""
    model = tiny_model(family).requires_grad_(False)
    patch = HippocampusPatch(model, AHNConfig(kind, SINKS, WINDOW), bare=bare)  # type: ignore[arg-type]
    torch.manual_seed(1)
    for network in patch.networks.values():
        network.requires_grad_(False)
        network.fn.o_proj.weight.normal_(0.0, 0.0 if silent else 0.5)
    return patch


def read(
    patch: HippocampusPatch, ids: Tensor, chunk: int, config: AHNConfig | None = None
) -> Tensor:
    """Logits of every position, read in chunks."""
    cache = patch.new_cache(config)
    parts = [
        predict_last(patch._model, part, cache, part.shape[1], around=nullcontext)
        for part in ids.split(chunk, dim=1)
    ]
    return torch.cat(parts, dim=1)


@contextmanager
def written_out(patch: HippocampusPatch) -> Iterator[None]:
    """Attention as the definition says: a mask over all tokens, and a loop over those that left."""
    config, inputs = patch.config, {}

    def attend(
        module: nn.Module, q: Tensor, k: Tensor, v: Tensor, mask: object, **kwargs: object
    ) -> tuple[Tensor, None]:
        k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], dim=1) for x in (k, v))
        t, p = torch.arange(q.shape[2])[:, None], torch.arange(q.shape[2])
        seen = (p <= t) & ((p > t - config.window) | (p < config.sinks))
        scores = (q @ k.mT * q.shape[-1] ** -0.5).masked_fill(~seen, float("-inf"))
        out = scores.softmax(-1) @ v
        layer, x = module.layer_idx, inputs[module.layer_idx]
        if network := patch.networks.get(layer):
            state, gates = network.new_state(len(q)), network.fn.compute_gates(x)
            for now in range(config.lossless, q.shape[2]):
                gone = slice(now - config.window, now - config.window + 1)
                at = slice(now, now + 1)
                read, state = network.chunk(
                    q[:, :, at],
                    k[:, :, gone],
                    v[:, :, gone],
                    x[:, at],
                    state,
                    gates=(gates[0][..., gone], gates[1][..., gone]),
                )
                out[:, :, at] += read
        return out.transpose(1, 2), None

    def keep(module: nn.Module, args: object, kwargs: dict[str, Tensor]) -> None:
        inputs[module.layer_idx] = kwargs["hidden_states"]

    AttentionInterface.register("written_out", attend)
    AttentionMaskInterface.register("written_out", lambda *_, **__: None)
    layers, settings = patch._model.get_decoder().layers, patch._model.config
    handles = [
        layer.self_attn.register_forward_pre_hook(keep, with_kwargs=True) for layer in layers
    ]
    settings._attn_implementation_internal = "written_out"
    try:
        yield
    finally:
        settings._attn_implementation_internal = "sdpa"
        for handle in handles:
            handle.remove()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_token_is_seen_in_one_way(family: str, kind: str) -> None:
    """Attention to sinks and window, the state for the rest: as written out over the whole text."""
    patch = patched(family, kind)
    with torch.inference_mode(), written_out(patch):
        wanted = patch._model(IDS, use_cache=False).logits
    bare = read(patched(family, bare=True), IDS, 90)
    assert (bare - wanted).abs().max() > 0.1  # the networks matter
    torch.testing.assert_close(read(patch, IDS, 90), wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("chunk", [1, 3, 17, 64])
def test_chunks_change_nothing(chunk: int) -> None:
    patch = patched()
    torch.testing.assert_close(read(patch, IDS, chunk), read(patch, IDS, 90), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("sinks", "window"), [(0, 1), (0, 8), (30, 2), (1, 89), (2, 88)])
def test_odd_windows_are_the_same_in_chunks(sinks: int, window: int) -> None:
    patch, config = patched(), AHNConfig("gdn", sinks, window)
    one, other = read(patch, IDS, 90, config), read(patch, IDS, 7, config)
    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_an_untrained_network_is_the_bare_window_bit_for_bit(kind: str) -> None:
    for chunk in (1, 11, 90):
        silent = read(patched(kind=kind, silent=True), IDS, chunk)
        assert torch.equal(silent, read(patched(bare=True), IDS, chunk))


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_with_nothing_written_is_the_bare_window_bit_for_bit(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    patch = patched(kind=kind)
    for network in patch.networks.values():
        gates = network.fn.compute_gates
        monkeypatch.setattr(
            network.fn,
            "compute_gates",
            lambda x, gates=gates: (gates(x)[0], torch.zeros_like(gates(x)[1])),
        )
    assert torch.equal(read(patch, IDS, 11), read(patched(bare=True), IDS, 11))


def test_what_fits_is_read_as_by_the_model_alone() -> None:
    patch, short = patched(), IDS[:, : SINKS + WINDOW]
    with torch.inference_mode():
        wanted = patch._model(short, use_cache=False).logits
    torch.testing.assert_close(read(patch, short, 90), wanted, rtol=1e-4, atol=1e-4)
    longer = IDS[:, : SINKS + WINDOW + 1]
    with torch.inference_mode():
        wanted = patch._model(longer, use_cache=False).logits
    assert (read(patch, longer, 90) - wanted)[:, -1].abs().max() > 1e-2


def test_what_is_held_does_not_grow() -> None:
    patch, sizes = patched(), []
    cache = patch.new_cache()
    for part in IDS[:1].repeat(1, 4).split(30, dim=1):
        predict_last(patch._model, part, cache, 1, around=nullcontext)
        named = cache_tensors(cache)
        sizes.append(sum(t.untyped_storage().nbytes() for parts in named.values() for t in parts))
    assert cache.get_seq_length() == 360
    assert len(set(sizes[1:])) == 1


def test_a_fork_goes_its_own_way() -> None:
    patch = patched()
    cache = patch.new_cache()
    predict_last(patch._model, IDS[:, :50], cache, 1, around=nullcontext)
    twin = fork_cache(cache)
    predict_last(patch._model, IDS[:, 10:40], twin, 1, around=nullcontext)
    got = predict_last(patch._model, IDS[:, 50:], cache, 40, around=nullcontext)
    torch.testing.assert_close(got, read(patch, IDS, 90)[:, 50:], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("tokens", [3, 12, 50])
def test_a_state_is_restored(tokens: int) -> None:
    patch = patched()
    cache = patch.new_cache()
    predict_last(patch._model, IDS[:1, :tokens], cache, 1, around=nullcontext)
    named = {
        name: torch.cat(parts) for name, parts in cache_tensors(cache).items() if parts[0].ndim
    }
    named |= {name: parts[0] for name, parts in cache_tensors(cache).items() if not parts[0].ndim}
    again = patch.restore_cache(named)
    rest = IDS[:1, tokens:]
    got, wanted = (
        predict_last(patch._model, rest, c, rest.shape[1], around=nullcontext)
        for c in (again, cache)
    )
    assert torch.equal(got, wanted)
    for name in named:
        broken = {n: t for n, t in named.items() if n != name}
        with pytest.raises(SessionFileError):
            patch.restore_cache(broken)
        if named[name].ndim:
            with pytest.raises(SessionFileError):
                patch.restore_cache(named | {name: named[name][:, :1]})
    with pytest.raises(SessionFileError, match="over"):
        patch.restore_cache(named | {"9.keys": torch.ones(1)})


def test_first_tokens_come_no_nearer_within_the_models_length_and_no_further_beyond() -> None:
    """Beyond the trained length a query sees the first tokens as from that length."""
    model = tiny_model("llama", num_hidden_layers=1, max_position_embeddings=40)
    patch = HippocampusPatch(model.requires_grad_(False), AHNConfig("gdn", SINKS, 4), bare=True)
    ids = torch.full((1, 120), 7)
    ids[:, :SINKS] = torch.arange(10, 10 + SINKS)
    # Behind them all tokens are alike, and there is one layer: logits depend on distances alone.
    logits = read(patch, ids, 11)[0]
    torch.testing.assert_close(logits[60], logits[119], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(logits[39], logits[119], rtol=1e-4, atol=1e-4)
    assert (logits[30] - logits[119]).abs().max() > 1e-4


def test_a_patch_leaves_the_model_as_it_was() -> None:
    patch = patched()
    model: PreTrainedModel = patch._model
    before = {name for name, _ in model.named_modules()}
    with torch.inference_mode():
        wanted = model(IDS, use_cache=False).logits
        read(patch, IDS, 90)
        assert torch.equal(model(IDS, use_cache=False).logits, wanted)
    patch.remove()
    assert {name for name, _ in model.named_modules()} == before
    assert not any(layer.self_attn._forward_pre_hooks for layer in model.get_decoder().layers)
    assert new_cache(model).get_seq_length() == 0


@pytest.mark.parametrize("family", ["gpt2", "mistral", "gpt_neox", "phi"])
def test_other_shapes_are_refused(family: str) -> None:
    with pytest.raises(ConfigError, match="overflow="):
        HippocampusPatch(tiny_model(family), AHNConfig("gdn", SINKS, WINDOW))
