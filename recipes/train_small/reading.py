"""A trained model that answers, with plain Transformers: full attention or page by page."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import AutoModelForCausalLM, DynamicCache, PreTrainedModel

from pace_integrations.model._transformers import cache_argument
from recipes.train_nano import formats
from recipes.train_small.adapter import Adapter
from recipes.train_small.index import LAYERS, page_score, question_ids
from recipes.train_small.model import Reader
from recipes.train_small.rows import RIGHT, SINK, VERIFICATION, WRONG, Piece

NEW_TOKENS = 40
HEARD = 64


@dataclass(frozen=True)
class Reply:
    """What the model says.

    Args:
        text: The reply.
        refusal: Probability of the refusal, word for word.
        likelihood: Geometric mean of the probabilities of its tokens.
        insisted: The best answer where a refusal is not allowed; the reply itself if it is none.
        support: Probability that the model gives the answer when it is asked to verify it.
        question: Logarithm of the probability of the question's tokens, the last 64 at most.
    """

    text: str
    refusal: float
    likelihood: float
    insisted: str
    support: float
    question: float

    @property
    def score(self) -> float:
        """What replies to several passages are compared by."""
        return (1 - self.refusal) * self.likelihood


def load_model(path: Path, base: Path, dtype: torch.dtype = torch.bfloat16) -> PreTrainedModel:
    """Open a model, or merge an adapter in PEFT's format into a base.

    Args:
        path: Folder of either.
        base: Folder of the base, used for adapters.
        dtype: What it computes in.
    """
    if not (path / "adapter_config.json").exists():
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(path, dtype=dtype)
        model.eval()
        return model
    from peft import PeftModel

    wide = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    merged = PeftModel.from_pretrained(wide, path).merge_and_unload()
    adapted: PreTrainedModel = merged.to(dtype).eval()
    return adapted


class Answerer:
    """Asks a model about pages.

    Args:
        model: The model.
        base: Folder with its tokenizer.
        verify: Whether to ask for the support of each answer.
        layers: Layers whose keys are the index of pages.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        base: Path,
        *,
        verify: bool = False,
        layers: tuple[int, ...] = LAYERS,
    ) -> None:
        self.model, self._verify, self._layers = model, verify, layers
        self.tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
        self._end = self.encode(formats.END)[0]
        self._refusal = self.encode(formats.UNANSWERABLE + formats.END)
        self._head = self.encode(formats.SYSTEM) + self.encode(formats.INSTRUCTION)
        self._verdicts = [self.encode(RIGHT)[0], self.encode(WRONG)[0]]
        self._index: Reader | None = None
        self._read: dict[tuple[str, ...], tuple[DynamicCache, int]] = {}

    def encode(self, text: str) -> list[int]:
        """Encode a piece on its own."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    @torch.inference_mode()
    def answer(self, passages: Sequence[str], question: str, *, by_page: bool) -> Reply:
        """Answer a question about rendered passages."""
        cache = self._cache(passages, by_page)
        turn, asked = self.encode(formats.TO_USER), self.encode(question)
        length = cache.get_seq_length()
        rows = self._step([*turn, *asked, *self.encode(formats.TO_ASSISTANT)], cache)
        chances = rows[len(turn) - 1 :][: len(asked)].log_softmax(-1)
        heard = float(chances.gather(1, torch.tensor(asked)[:, None])[-HEARD:].sum())
        logits = rows[-1]
        refusal = self._refusing(logits, cache)
        text, likelihood = self._write(int(logits.argmax()), logits, cache)
        insisted = text
        if formats.UNANSWERABLE[:-1] in text:
            logits[logits.argmax()] = -math.inf
            insisted, likelihood = self._write(int(logits.argmax()), logits, cache)
        cache.crop(length - cache.get_seq_length())
        support = self._support(question, insisted, cache) if self._verify else math.nan
        return Reply(text, refusal, likelihood, insisted, support, heard)

    def _cache(self, passages: Sequence[str], by_page: bool) -> DynamicCache:
        """Read head and passages, or take them from the last reading."""
        key = (str(by_page), *passages)
        if key not in self._read:
            ids, spans = list(self._head), [(0, len(self._head))]
            for passage in passages:
                own = self.encode(passage)
                spans.append((len(ids), len(ids) + len(own)))
                ids += own
            mask = torch.ones(len(ids), len(ids), dtype=torch.bool).tril_()
            for begin, end in spans[1:] if by_page else []:
                mask[begin:end, :begin] = False
            cache = DynamicCache(config=self.model.config)
            self.model.model(
                torch.tensor([ids]),
                attention_mask=mask[None, None] if by_page else None,
                **cache_argument(self.model.model, cache),
                use_cache=True,
            )
            self._read = {key: (cache, len(ids))}
        cache, length = self._read[key]
        if cache.get_seq_length() > length:
            cache.crop(length - cache.get_seq_length())
        return cache

    def _step(self, ids: Sequence[int], cache: DynamicCache) -> Tensor:
        """Read more and return the logits of each token."""
        hidden = self.model.model(
            torch.tensor([list(ids)]), use_cache=True, **cache_argument(self.model.model, cache)
        ).last_hidden_state
        logits: Tensor = self.model.lm_head(hidden)[0].float()
        return logits

    def _refusing(self, logits: Tensor, cache: DynamicCache) -> float:
        length = cache.get_seq_length()
        rest = self._step(self._refusal[:-1], cache).log_softmax(-1)
        cache.crop(length - cache.get_seq_length())
        total = logits.log_softmax(-1)[self._refusal[0]]
        for row, token in zip(rest, self._refusal[1:], strict=True):
            total = total + row[token]
        return math.exp(float(total))

    def _write(self, first: int, logits: Tensor, cache: DynamicCache) -> tuple[str, float]:
        length, written = cache.get_seq_length(), [first]
        total, count = float(logits.log_softmax(-1)[first]), 1
        while written[-1] != self._end and len(written) < NEW_TOKENS:
            logits = self._step(written[-1:], cache)[-1]
            written.append(int(logits.argmax()))
            total += float(logits.log_softmax(-1)[written[-1]])
            count += 1
        if cache.get_seq_length() > length:
            cache.crop(length - cache.get_seq_length())
        text = self.tokenizer.decode([t for t in written if t != self._end])
        return str(text), math.exp(total / count)

    def _support(self, question: str, reply: str, cache: DynamicCache) -> float:
        pieces = [formats.TO_USER, question, formats.TO_ASSISTANT, reply, formats.END]
        pieces += [formats.NEXT_USER, VERIFICATION, formats.TO_ASSISTANT]
        tail = [i for piece in pieces for i in self.encode(piece)]
        length = cache.get_seq_length()
        logits = self._step(tail, cache)[-1]
        cache.crop(length - cache.get_seq_length())
        return float(logits[self._verdicts].softmax(-1)[0])

    @torch.inference_mode()
    def find(self, passages: Sequence[str], question: str) -> list[float]:
        """Score passages by the model's own keys."""
        queries = self.trace_question(question)
        return [float(page_score(queries, self.trace_page(p))) for p in passages]

    @torch.inference_mode()
    def trace_question(self, question: str) -> Tensor:
        """Return a question's queries in the index layers, `(tokens, heads, head)`."""
        ids, skip = question_ids(self.tokenizer, question)
        return self._trace(ids)[0][skip:]

    @torch.inference_mode()
    def trace_page(self, passage: str) -> Tensor:
        """Return a passage's keys in the index layers, without those of its attention sink."""
        return self._trace(self.encode(passage))[1][SINK:]

    def _trace(self, ids: list[int]) -> tuple[Tensor, Tensor]:
        if self._index is None:
            self._index = Reader(self.model, Adapter(self.model, 1, 0.0), self._layers)
        piece = Piece((0, len(ids)), ((0, len(ids)),))
        traced = self._index.read(
            torch.tensor([ids]), torch.arange(len(ids)), [piece], max(self._layers) + 1
        )
        return traced.queries[0], traced.keys[0]


def load_lookups(path: Path) -> list[dict[str, str]]:
    """Read look-ups: `doc`, `question`, `answer`, `pattern`, `evidence`."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
