"""A loaded model at work: its prompts, its patch and its thread.

The engine speaks token ids, caches and memory states; what they mean is the session's affair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import torch

from pace_integrations.config import GenerationConfig
from pace_integrations.errors import ConfigError, SessionFileError
from pace_integrations.model._transformers import Cache
from pace_integrations.model.batch import always, can_batch, decode_batch, end_unwanted
from pace_integrations.model.decode import TextDelta, decode_answer
from pace_integrations.model.forward import ForwardContext, predict_last, prefill
from pace_integrations.model.forward_patch import ForwardPatch, PatchState
from pace_integrations.model.hippocampus import HippocampusPatch
from pace_integrations.model.kv_cache.cache import (
    cache_tensors,
    drop_tokens,
    fork_cache,
    new_cache,
    reserve_room,
    restore_cache,
)
from pace_integrations.model.kv_cache.sliding_window import SlidingWindow
from pace_integrations.model.loading import LoadedModel
from pace_integrations.model.model_thread import ModelThread
from pace_integrations.model.overflow import Window
from pace_integrations.model.prompts import Prompts


@dataclass(frozen=True, slots=True)
class Context:
    """What a model holds of what it has read: its KV cache, and the state of a patch.

    Attributes:
        cache: Keys and values of every token read.
        memory: State of the patch on the model, or None where there is none.
    """

    cache: Cache
    memory: PatchState | None

    def fork(self) -> Context:
        """Return a context that continues from this one and leaves it as it is, without copying."""
        return Context(fork_cache(self.cache), self.memory.clone() if self.memory else None)


class Engine:
    """One loaded model; all its work runs on one thread.

    Args:
        loaded: The model and its tokenizer.
        patch: What takes part in its forwards, such as an activation memory, or None.

    Raises:
        ConfigError: The model cannot read on in a window, or hold its keys and values, as asked.
    """

    def __init__(self, loaded: LoadedModel, patch: ForwardPatch | None = None) -> None:
        self.loaded = loaded
        self._patch = patch
        new_cache(loaded.model, loaded.kv)  # refuses here what it cannot hold
        self.prompts = Prompts(loaded.tokenizer)
        self.thread = ModelThread(f"pace-{loaded.name}")
        self._hippocampus = HippocampusPatch.load(loaded.model, loaded.ahn) if loaded.ahn else None
        self.window: Window | None = self._hippocampus
        if loaded.overflow == "window":
            self.window = SlidingWindow(loaded.model, loaded.context_window)

    def new_context(self) -> Context:
        """Return a context that holds nothing."""
        memory = self._patch.new_state() if self._patch else None
        own = self._hippocampus
        return Context(
            own.new_cache() if own else new_cache(self.loaded.model, self.loaded.kv), memory
        )

    def reserve(self, context: Context, tokens: int) -> None:
        """Announce that `tokens` will be read into a context, so that they are never copied."""
        reserve_room(context.cache, min(tokens, self.window.tokens) if self.window else tokens)

    def retained_tokens(self, context: Context, coming: int) -> int:
        """Return how many tokens of a context stay in it when `coming` more come."""
        held = context.cache.get_seq_length()
        return min(held, self.window.tokens - coming) if self.window else held

    def footprint(self, context: Context) -> dict[str, int]:
        """Return the bytes of the weights, of the cache per token held, and of the memory banks."""
        sizes = {
            name: sum(p.nbytes for parts in group.values() for p in parts)
            for name, group in self.context_tensors(context).items()
        }
        return {
            "weights": sum(p.nbytes for p in self.loaded.model.parameters()),
            "cache_per_token": sizes["kv.safetensors"] // max(1, context.cache.get_seq_length()),
            "banks": sizes.get("memory.safetensors", 0),
        }

    def fork_at(self, context: Context, tokens: int) -> Context | None:
        """Fork a context at its first tokens; return None where its cache cannot be cropped.

        The memory stays as it is, so the tokens cut off must not have been written into it.
        """
        if self._writes or self.window is not None:
            return None
        twin = context.fork()
        surplus = twin.cache.get_seq_length() - tokens
        return twin if not surplus or drop_tokens(twin.cache, surplus) else None

    def context_tensors(self, context: Context) -> dict[str, dict[str, tuple[torch.Tensor, ...]]]:
        """Return a context as named tensors in parts, by the name of the file they belong in."""
        files = {"kv.safetensors": cache_tensors(context.cache)}
        if context.memory is not None:
            named = context.memory.tensors()
            files["memory.safetensors"] = {name: (tensor,) for name, tensor in named.items()}
        return files

    def restore_context(self, files: Mapping[str, dict[str, torch.Tensor]]) -> Context:
        """Restore a context from what `context_tensors` gave.

        Raises:
            SessionFileError: Tensors are missing or do not fit this model.
        """
        memory = self._patch.new_state() if self._patch else None
        try:
            named, own = files["kv.safetensors"], self._hippocampus
            cache = (
                own.restore_cache(named)
                if own
                else restore_cache(self.loaded.model, named, self.loaded.kv)
            )
            if memory is not None:
                _check_fit(files["memory.safetensors"], memory.tensors())
                memory.load_tensors(files["memory.safetensors"])
        except (KeyError, ConfigError) as error:
            raise SessionFileError(f"the saved state does not fit the model: {error}") from error
        return Context(cache, memory)

    def read(
        self,
        ids: Sequence[int],
        context: Context,
        *,
        cuts: Sequence[int],
        chunk: int,
        free: int = 0,
    ) -> Iterator[int]:
        """Read tokens into `context`, yielding how many are done after each chunk.

        Args:
            ids: Tokens to read.
            context: Context to extend.
            cuts: Positions, counted from the context's first token, where documents start: the
                memory starts a new step there.
            chunk: Most tokens of one forward.
            free: Tokens of a window that stay free for what comes after.
        """
        model, done, around = self.loaded.model, 0, self._reading_context(context, cuts)
        chunk = self.window.fit_chunk(chunk, free) if self.window else chunk
        for part in torch.tensor([list(ids)], device=model.device).split(chunk, dim=1):
            self._make_room(context, part.shape[1] + free)
            for _ in prefill(model, part, context.cache, chunk=chunk, around=around):
                done += part.shape[1]
                yield done
        if context.memory is not None:
            with torch.inference_mode():
                context.memory.flush()

    def read_losses(
        self, ids: Sequence[int], context: Context, *, chunk: int
    ) -> Iterator[torch.Tensor]:
        """Read tokens into `context` and yield, by chunk, how badly each was predicted.

        Args:
            ids: Tokens to read; the first of them is predicted by nothing.
            context: Context to extend, an empty one.
            chunk: Most tokens of one forward, whose logits are held in float32.

        Yields:
            Next-token losses in nats, one per token of the chunk.
        """
        model, around = self.loaded.model, self._reading_context(context, ())
        last: torch.Tensor | None = None
        chunk = self.window.fit_chunk(chunk, 0) if self.window else chunk
        for part in torch.tensor([list(ids)], device=model.device).split(chunk, dim=1):
            self._make_room(context, part.shape[1])
            logits = predict_last(model, part, context.cache, part.shape[1], around=around)[0]
            # The chunk before predicts this one's first token, and this one the next one's.
            expected = logits[:-1] if last is None else torch.cat([last, logits[:-1]])
            yield torch.nn.functional.cross_entropy(
                expected, part[0, -len(expected) :], reduction="none"
            )
            last = logits[-1:]

    def decode_answer(
        self, ids: Sequence[int], context: Context, config: GenerationConfig, *, chunk: int
    ) -> Iterator[TextDelta]:
        """Continue `context` with a prompt's suffix and write an answer, delta by delta.

        Args:
            ids: The prompt's suffix.
            context: Context to continue; it is extended.
            config: Length, sampling and stop strings.
            chunk: Most prompt tokens of one forward.
        """
        model, tokenizer = self.loaded.model, self.loaded.tokenizer
        around = self.asking_context(context)
        self._make_room(context, len(ids) + config.max_new_tokens)
        return decode_answer(
            model, tokenizer, ids, context.cache, config, chunk=chunk, around=around
        )

    def decode_answers(
        self,
        tails: Sequence[Sequence[int]],
        context: Context,
        config: GenerationConfig,
        *,
        chunk: int,
        is_wanted: Callable[[int], bool] = always,
    ) -> Iterator[list[tuple[int, TextDelta]]]:
        """Continue `context` with each of several suffixes, each answered as if it were alone.

        They are written together where rows can share the cache, otherwise one after the other.

        Args:
            tails: The prompts' suffixes.
            context: Context to continue; it is left as it is.
            config: Length, sampling and stop strings of each answer.
            chunk: Most prompt tokens of one forward.
            is_wanted: Asked before each token whether an answer is still waited for.

        Yields:
            For every step the pieces it added, with the index of their answer.
        """
        model, tokenizer, twin = self.loaded.model, self.loaded.tokenizer, context.fork()
        self._make_room(twin, max(map(len, tails), default=0) + config.max_new_tokens)
        if can_batch(model, twin.cache) and max(map(len, tails)) <= chunk and not self._writes:
            around = self.asking_context(twin)
            yield from decode_batch(
                model, tokenizer, tails, twin.cache, config, around=around, is_wanted=is_wanted
            )
            return
        for i, ids in enumerate(tails):
            for piece in self.decode_answer(ids, context.fork(), config, chunk=chunk):
                ended = piece if is_wanted(i) else end_unwanted(piece)
                yield [(i, ended)]
                if ended.finish is not None:
                    break

    @property
    def _writes(self) -> bool:
        """Return True if an answer changes the state that it is asked of."""
        return self._patch is not None and self._patch.writes_while_decoding

    def _make_room(self, context: Context, coming: int) -> None:
        if self.window is not None:
            with torch.inference_mode():
                self.window.make_room(context.cache, coming)

    def _reading_context(self, context: Context, cuts: Sequence[int]) -> ForwardContext:
        patch, memory = self._patch, context.memory
        return (
            nullcontext
            if patch is None or memory is None
            else partial(patch.reading, memory, cuts=cuts)
        )

    def asking_context(self, context: Context) -> ForwardContext:
        """Return what a forward runs in that answers from a context."""
        patch, memory = self._patch, context.memory
        return nullcontext if patch is None or memory is None else partial(patch.asking, memory)

    def close(self) -> None:
        """End the thread and take the patch off the model."""
        self.thread.close()
        if self._patch:
            self._patch.remove()
        if self._hippocampus:
            self._hippocampus.remove()


def _check_fit(saved: Mapping[str, torch.Tensor], fresh: Mapping[str, torch.Tensor]) -> None:
    """Raise `ConfigError` where a saved memory could not have come from `fresh`."""
    for name in sorted(saved.keys() | fresh.keys()):
        if name not in saved or name not in fresh:
            raise ConfigError(f"the memory's {name} is {'missing' if name in fresh else 'unknown'}")
        one, other = saved[name], fresh[name]
        grows = other.numel() == 0  # what is gathered while reading, along its second axis
        shape = (*other.shape[:1], *one.shape[1:2], *other.shape[2:]) if grows else other.shape
        if one.shape != shape or one.dtype != other.dtype:
            raise ConfigError(f"the memory's {name} has another shape or type")
