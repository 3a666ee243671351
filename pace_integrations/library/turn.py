"""One question to a library, from choosing passages to the answer with its evidence."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise
from typing import Literal

from pace_integrations.answer import Answer, Selection, Timings, Usage
from pace_integrations.config import GenerationConfig
from pace_integrations.errors import DocumentError
from pace_integrations.library.blocks import Block
from pace_integrations.library.choice import Budget, Choice, Selector
from pace_integrations.library.describe import cite_blocks, describe_blocks, find_evidence
from pace_integrations.library.prepared import GroupReader, Prepared
from pace_integrations.library.profile import ReadingProfile, Signals
from pace_integrations.library.signals import compare_answer, make_signals
from pace_integrations.library.steps import run_silently
from pace_integrations.library.strategy import Strategy, choose_strategy
from pace_integrations.model.candidates import Asking, Candidate, write_candidates
from pace_integrations.model.decode import TextDelta
from pace_integrations.model.kv_cache.cache import drop_tokens
from pace_integrations.model.page_weights import weigh_pages
from pace_integrations.model.prompts import UNANSWERABLE, Message
from pace_integrations.model.questions import locate_question
from pace_integrations.model.verification import Verification

OnUnsupported = Literal["show", "refuse"]
Question = str | Sequence[Message]

PASSAGES = 5  # asked one by one
_JUDGED = 2  # candidates whose support is compared, where the model says what it is worth
_LOOKING = 64  # tokens of an answer whose attention is looked at
_REFUSES = 0.5  # probability of the refusal from which it is the answer
_MARKS = re.compile(r"\[\d{1,9}(?:\s*,\s*\d{1,9})*\]")


@dataclass(frozen=True, slots=True)
class AskOptions:
    """Options of one question.

    Attributes:
        strategy: ``"each"``, ``"together"`` or ``"auto"``.
        budget: Most tokens of passages in one prompt.
        passages: Most passages; None takes 5 one by one, and together what the budget holds.
        on_unsupported: What happens to an answer that the pages do not support.
        generation: Length, sampling and stop strings.
        exact: Whether the model was trained to read in the way it reads.
        profile: What it was trained for.
        search: Words that pages are looked for by; None takes those of the question.
    """

    strategy: Strategy
    budget: int
    passages: int | None
    on_unsupported: OnUnsupported
    generation: GenerationConfig
    exact: bool
    profile: ReadingProfile
    search: str | None = None


@dataclass
class LibraryTurn:
    """A question on its way to an answer. `run` runs on the model's thread.

    Args:
        reader: What makes contexts of passages.
        selector: What chooses passages.
        question: The question, or a conversation that ends with it.
        options: How it is asked.

    Raises:
        QuestionError: The question is empty, or the conversation malformed.
    """

    reader: GroupReader
    selector: Selector
    question: Question
    options: AskOptions
    _choice: Choice = field(default_factory=lambda: Choice(()))
    _candidates: Sequence[Candidate] = ()
    _answering: Sequence[Block] = ()
    _support: float = 0.0
    _weights: Sequence[float] = ()
    _tokens: int = 0
    _asked: int = 0
    _read: int = 0

    def __post_init__(self) -> None:
        self._tail = self.reader.engine.prompts.encode_suffix(self.question)
        told = self.question if isinstance(self.question, str) else self.question[-1]["content"]
        told = self.options.search or told
        self._words = told
        self._judged = _JUDGED if self.options.profile.verifies else 1
        self._strategy, self._reason = choose_strategy(told, self.options.strategy)

    def run(self) -> Iterator[TextDelta]:
        """Answer, yielding a piece for every step."""
        self._choice = self.selector.select(self._words, self._budget())
        blocks = [scored.block for scored in self._choice.scored]
        if not blocks:
            raise DocumentError("no page of the library fits beside the question; ask less")
        if self._strategy == "each":
            yield from self._ask_each(blocks)
        else:
            yield from self._ask_together(sorted(blocks, key=_reading_order))

    def _budget(self) -> Budget:
        options = self.options
        limit = self.reader.engine.loaded.context_window - self.reader.head_tokens
        limit -= len(self._tail) + options.generation.max_new_tokens
        if self._strategy == "each":
            return Budget(limit * PASSAGES, options.passages or PASSAGES, limit * PASSAGES)
        return Budget(min(options.budget, limit), options.passages, limit)

    def _ask_each(self, blocks: Sequence[Block]) -> Iterator[TextDelta]:
        """Ask every passage by itself and take the best answer."""
        candidates: list[Candidate] = []
        for prepared in (yield from self._prepare([[block] for block in blocks])):
            candidates += yield from run_silently(self._write(prepared, insist=True))
        self._candidates = candidates
        complete = [i for i in range(len(blocks)) if candidates[i].complete]
        ranked = sorted(complete, key=lambda i: -candidates[i].score)
        supports = {}
        for i in ranked[: self._judged]:
            signals = yield from self._collect_signals(candidates[i], blocks[i], blocks)
            supports[i] = self._judge(candidates[i], signals)
        best = max(supports, key=supports.__getitem__)
        winner, self._support, self._answering = candidates[best], supports[best], [blocks[best]]
        text = winner.text
        if self.options.generation.constraint is None:  # whose form is not to be touched
            # It saw one passage: whatever number it wrote, that one is meant.
            text = _MARKS.sub(f"[{blocks[best].number}]", text)
            if winner.refusal > _REFUSES or self._is_refused():
                text = UNANSWERABLE
        yield TextDelta(text, winner.tokens, winner.finish)

    def _ask_together(self, blocks: Sequence[Block]) -> Iterator[TextDelta]:
        """Ask all passages in one prompt."""
        self._answering = blocks
        (prepared,) = yield from self._prepare([blocks])
        candidate, last = yield from self._stream(prepared)
        signals = yield from self._collect_signals(candidate, None, blocks)
        self._support = self._judge(candidate, signals)
        self._weights = self._weigh(prepared, blocks, candidate)
        if self.options.on_unsupported == "refuse":
            text = UNANSWERABLE if self._is_refused() else candidate.text
            last = replace(last, text=text)
        yield last

    def _stream(
        self, prepared: Prepared
    ) -> Generator[TextDelta, None, tuple[Candidate, TextDelta]]:
        """Write one answer, piece by piece but for the last; nothing shown is taken back."""
        steps = self._write(prepared, insist=False)
        shows = self.options.on_unsupported == "show"
        last = TextDelta("", 0)
        while True:
            try:
                ((_, last),) = next(steps)
            except StopIteration as end:
                return end.value[0], last
            if not last.finish:
                yield last if shows else TextDelta("", 0)

    def _prepare(
        self, groups: Sequence[Sequence[Block]]
    ) -> Generator[TextDelta, None, list[Prepared]]:
        made = yield from run_silently(self.reader.prepare(groups))
        self._tokens += sum(prepared.tokens for prepared in made)
        self._asked += len(self._tail) * len(groups)
        self._read += sum(prepared.read for prepared in made)
        return made

    def _write(
        self, prepared: Prepared, *, insist: bool
    ) -> Generator[list[tuple[int, TextDelta]], None, list[Candidate]]:
        loaded = self.reader.engine.loaded
        end = loaded.tokenizer.eos_token_id
        prompts, scores = self.reader.engine.prompts, self.options.profile.scores_questions
        refusal = prompts.encode_text(UNANSWERABLE)
        tail = self._tail
        heard = locate_question(prompts, self.question, tail) if scores and insist else range(0)
        asking = Asking(
            tail,
            [*refusal, end] if isinstance(end, int) else refusal,
            insist and self.options.generation.constraint is None,
            self._judged,
            heard,
            self._make_verification(),
        )
        return write_candidates(
            loaded.model,
            loaded.tokenizer,
            prepared.rows,
            asking,
            self.options.generation,
            around=prepared.around,
        )

    def _make_verification(self) -> Verification | None:
        """Return what the model is asked behind its answers, where it was trained for that."""
        profile, prompts = self.options.profile, self.reader.engine.prompts
        if profile.verification is None or profile.support is None:
            return None
        yes, no = (prompts.encode_text(word)[0] for word in (profile.yes, profile.no))
        return Verification(prompts.encode_next_turn(profile.verification), yes, no)

    def _collect_signals(
        self, candidate: Candidate, block: Block | None, blocks: Sequence[Block]
    ) -> Generator[TextDelta, None, Signals]:
        """Return what is known of an answer that was made from one passage, or from all of them."""
        profile, agreement = self.options.profile, None
        if profile.support is None:  # nothing more is weighed
            return Signals(candidate.likelihood, candidate.refusal)
        seen = blocks if block is None else [block]
        if profile.compares and block is not None:
            ordered = sorted(blocks, key=_reading_order)
            answer = _MARKS.sub("", candidate.text).strip()
            agreement = yield from run_silently(
                compare_answer(self.reader, self._tail, ordered, answer)
            )
        texts = [one.passage.text for one in seen]
        others = () if block is None else self._candidates
        return make_signals(self._words, texts, candidate, others, agreement)

    def _weigh(
        self, prepared: Prepared, blocks: Sequence[Block], candidate: Candidate
    ) -> Sequence[float]:
        """Return how much the answer looked at each passage, where it names none itself."""
        profile, reader, cache = self.options.profile, self.reader, prepared.rows.cache
        text = candidate.text
        if not profile.index_layers or len(blocks) < 2 or _MARKS.search(text):
            return ()
        written = reader.engine.prompts.encode_text(text)[:_LOOKING]
        # What predicts the first token of the answer is the last one of the question.
        asked = prepared.rows.lengths[0] + len(self._tail) - 1
        if not written or not drop_tokens(cache, cache.get_seq_length() - asked):
            return ()
        ends = list(accumulate(map(reader.count_tokens, blocks), initial=reader.head_tokens))
        return weigh_pages(
            reader.engine.loaded.model,
            [self._tail[-1], *written],
            cache,
            list(pairwise(ends)),
            layers=profile.index_layers,
            heads=profile.index_heads,
            around=prepared.around,
        )

    def _judge(self, candidate: Candidate, signals: Signals) -> float:
        """Return how well an answer is supported."""
        return self.options.profile.estimate_support(signals) if candidate.text.strip() else 0.0

    def _is_refused(self) -> bool:
        unsupported = self.options.profile.is_supported(self._support) is False
        free = self.options.generation.constraint is None
        return free and self.options.on_unsupported == "refuse" and unsupported

    def finish(self, text: str, last: TextDelta, timings: Timings) -> Answer:
        """Return the whole answer, from its text and its last piece."""
        assert last.finish is not None
        refuses, note = text.startswith(UNANSWERABLE), self._choice.note
        return Answer(
            text=text,
            citations=()
            if refuses
            else cite_blocks(text, self._words, self._answering, self._weights),
            usage=Usage(self._tokens + self._asked, self._tokens - self._read, last.tokens),
            timings=timings,
            memory=None,
            finish_reason=last.finish,
            support=self._support if self.options.profile.measures else None,
            supported=None if refuses else self.options.profile.is_supported(self._support),
            evidence=find_evidence(self._words, [s.block for s in self._choice.scored]),
            exact=self.options.exact,
            selection=Selection(
                selector=self.selector.name,
                strategy=self._strategy,
                reason=f"{self._reason}; {note}" if note else self._reason,
                budget=self._budget().tokens,
                pages=describe_blocks(
                    self._choice.scored, self._candidates, self.reader.count_tokens
                ),
                read=self._read,
            ),
        )


def _reading_order(block: Block) -> tuple[int, int]:
    return block.number, block.passage.start
