"""The token loop against Transformers' own, and text as it is released."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from checkpoints import byte_tokenizer
from hypothesis import given
from hypothesis import strategies as st
from tiny import tiny_model

from pace_integrations.config import GenerationConfig
from pace_integrations.errors import ConfigError, NumericalError
from pace_integrations.model.decode import TextDelta, _TextDecoder, decode_answer
from pace_integrations.model.forward import prefill
from pace_integrations.model.kv_cache.cache import fork_cache, new_cache

TOKENIZER = byte_tokenizer()
IDS = TOKENIZER.encode("Forty chairs stand in the hall and two in the yard.")


@pytest.fixture(scope="module", params=["qwen3", "mistral-sliding"])
def model(request: pytest.FixtureRequest) -> torch.nn.Module:
    if request.param == "qwen3":
        made = tiny_model("qwen3", vocab_size=len(TOKENIZER))
    else:
        made = tiny_model("mistral", vocab_size=len(TOKENIZER), sliding_window=16)
    made.generation_config.eos_token_id = None
    made.generation_config.pad_token_id = TOKENIZER.pad_token_id
    return made


def write(
    model: torch.nn.Module, ids: list[int], *, chunk: int = 16, **settings: object
) -> list[TextDelta]:
    config = GenerationConfig(**{"max_new_tokens": 24, **settings})
    return list(
        decode_answer(
            model, TOKENIZER, ids, new_cache(model), config, chunk=chunk, around=nullcontext
        )
    )


def joined(pieces: list[TextDelta]) -> str:
    return "".join(piece.text for piece in pieces)


def generated(model: torch.nn.Module, ids: list[int], tokens: int) -> str:
    """Transformers' greedy answer, cut at the end of turn, or before a character that is cut."""
    prompt = torch.tensor([ids])
    out = model.generate(
        prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=tokens
    )[0, len(ids) :].tolist()
    end = TOKENIZER.eos_token_id
    if end in out:
        return TOKENIZER.decode(out[: out.index(end)], skip_special_tokens=True)
    return TOKENIZER.decode(out, skip_special_tokens=True).rstrip("\ufffd")


@pytest.mark.parametrize("chunk", [1, 7, 16, 1000])
def test_greedy_equals_generate_at_any_chunk_size(model: torch.nn.Module, chunk: int) -> None:
    assert joined(write(model, IDS, chunk=chunk)) == generated(model, IDS, 24)


def test_a_fork_continues_and_leaves_the_original(model: torch.nn.Module) -> None:
    cache = new_cache(model)
    list(prefill(model, torch.tensor([IDS[:-5]]), cache, chunk=16, around=nullcontext))
    config = GenerationConfig(max_new_tokens=24)
    texts = {
        joined(
            list(
                decode_answer(
                    model,
                    TOKENIZER,
                    IDS[-5:],
                    fork_cache(cache),
                    config,
                    chunk=16,
                    around=nullcontext,
                )
            )
        )
        for _ in range(3)
    }
    assert texts == {generated(model, IDS, 24)}
    assert cache.get_seq_length() == len(IDS) - 5


def test_seeded_samples_repeat_and_differ_between_seeds(model: torch.nn.Module) -> None:
    texts = [joined(write(model, IDS, temperature=1.5, seed=seed)) for seed in (1, 1, 2, 3)]
    assert texts[0] == texts[1]
    assert len(set(texts)) == 3


def test_sampling_the_likeliest_token_only_is_greedy(model: torch.nn.Module) -> None:
    greedy = joined(write(model, IDS))
    assert joined(write(model, IDS, temperature=0.7, top_k=1)) == greedy
    assert joined(write(model, IDS, temperature=0.7, top_p=1e-6)) == greedy


def test_tokens_are_counted_and_the_limit_is_named(model: torch.nn.Module) -> None:
    pieces = write(model, IDS, max_new_tokens=5)
    assert pieces[-1].tokens <= 5
    assert pieces[-1].finish == ("length" if pieces[-1].tokens == 5 else "stop")
    assert [piece.finish for piece in pieces[:-1]] == [None] * (len(pieces) - 1)


@given(st.text(max_size=60), st.lists(st.text(min_size=1, max_size=4), max_size=3), st.booleans())
def test_text_ends_before_the_first_stop_string(
    written: str, stops: list[str], from_written: bool
) -> None:
    if from_written and written:
        stops = [*stops, written[len(written) // 2 :][:3]]
    text = _TextDecoder(TOKENIZER, stops)
    released = ""
    for token in TOKENIZER.encode(written, add_special_tokens=False):
        released += text.push_token(token)
        assert all(stop not in released for stop in stops)
        if text.stopped:
            break
    else:
        released += text.flush_text()
    shown = TOKENIZER.decode(TOKENIZER.encode(written, add_special_tokens=False))
    cuts = [shown.find(stop) for stop in stops if stop in shown]
    if text.stopped:
        assert cuts
        assert shown.startswith(released)
        assert len(released) <= max(cuts)
    else:
        assert released == shown
        assert not cuts


@given(st.lists(st.integers(4, len(TOKENIZER) - 1), max_size=40))
def test_any_bytes_stream_to_the_text_they_decode_to(ids: list[int]) -> None:
    text = _TextDecoder(TOKENIZER, ())
    assert "".join(map(text.push_token, ids)) + text.flush_text() == TOKENIZER.decode(ids)


def test_a_character_of_several_tokens_is_released_whole() -> None:
    text = _TextDecoder(TOKENIZER, ())
    pieces = [text.push_token(token) for token in TOKENIZER.encode("€", add_special_tokens=False)]
    assert pieces == ["", "", "€"]


@pytest.mark.parametrize("written", ["ab€", "ab😀", "ü"])
def test_an_answer_that_is_cut_inside_a_character_ends_before_it(written: str) -> None:
    ids = TOKENIZER.encode(written, add_special_tokens=False)
    for count in range(1, len(ids)):
        text = _TextDecoder(TOKENIZER, ())
        released = "".join(map(text.push_token, ids[:count])) + text.flush_text(cut=True)
        assert "\ufffd" not in released
        assert written.startswith(released)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_logits_that_are_no_numbers_are_an_error_that_names_the_model(bad: float) -> None:
    model = tiny_model("qwen3", vocab_size=len(TOKENIZER))
    model.name_or_path = "house/small"
    with torch.no_grad():
        model.lm_head.weight[5] = bad
    for settings in ({}, {"temperature": 0.7}):
        with pytest.raises(NumericalError, match=r"house/small.* float32"):
            write(model, IDS, **settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"max_new_tokens": 0},
        {"temperature": -1.0},
        {"top_p": 0.0},
        {"top_k": -1},
        {"stop": ("",)},
    ],
)
def test_settings_outside_their_range_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        GenerationConfig(**settings)


def test_one_stop_string_is_not_taken_for_its_letters() -> None:
    assert GenerationConfig(stop="END").stop == ("END",)
