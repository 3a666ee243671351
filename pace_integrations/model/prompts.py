"""The only place that turns documents and messages into token ids.

A prompt is *prefix, passages, suffix*. Prefix and passages come first and never change as documents
are added or questions asked, so their read state can be kept; the suffix holds the question.
Each piece is encoded on its own, and text that comes from a document or a user is encoded so
that it can never become one of the model's control tokens.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, Literal, TypedDict, get_args

from jinja2.exceptions import TemplateError

from pace_integrations._text import repair_text
from pace_integrations.errors import QuestionError
from pace_integrations.model._transformers import PreTrainedTokenizerBase

UNANSWERABLE = "The documents do not say."
INSTRUCTION = (
    "Answer the question using only the numbered documents below. Be brief and cite the document "
    "you used in brackets, like [1]. If they do not contain the answer, say: "
    f"{UNANSWERABLE}\n\n"
)

_TEMPLATE_SECONDS = 5.0  # a chat template takes milliseconds

# Private-use characters: no template literal contains them, no template strips them.
_OPEN, _CLOSE = "\ue000", "\ue001"
_SLOT = re.compile(f"{_OPEN}(\\d+){_CLOSE}")
_DOCUMENTS = f"{_OPEN}0{_CLOSE}"


Role = Literal["system", "user", "assistant"]


class Message(TypedDict):
    """One turn of a conversation."""

    role: Role
    content: str


def passage_text(number: int, title: str, label: str | None, text: str) -> str:
    """Return a page as the model sees it.

    Args:
        number: Number to cite the passage by, from 1.
        title: Title of the document.
        label: Printed page label, or None for text without pages.
        text: Text of the page.
    """
    page = f", page {label}" if label else ""
    return f"[{number}] {title}{page}\n{text}\n\n"


class Prompts:
    """Encodes prefixes, passages and suffixes for one tokenizer.

    Args:
        tokenizer: The model's tokenizer, with or without a chat template.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._control = _control_tokens(tokenizer)
        self._split = re.compile("|".join(map(re.escape, sorted(self._control, key=len)[::-1])))
        self._has_system = self._template_keeps_system()

    def encode_prefix(self) -> list[int]:
        """Return ids before the first passage: the template's opening and the instruction."""
        before, _, _ = self._render_with_documents([_user_message("")]).partition(_DOCUMENTS)
        return [*self._encode_template(before), *self.encode_text(INSTRUCTION)]

    def encode_passage(self, number: int, title: str, label: str | None, text: str) -> list[int]:
        """Return ids of one numbered passage."""
        return self.encode_text(passage_text(number, title, label, text))

    def encode_suffix(self, question: str | Sequence[Message]) -> list[int]:
        """Return ids that follow the last passage, up to where the answer begins.

        Args:
            question: The question, or a conversation that ends with one.

        Raises:
            QuestionError: The question is empty, or the template refuses the conversation.
        """
        question, begun = _split_answer(question)
        slots, contents = _slot_contents(_fold_system(*_split_conversation(question)))
        _, _, after = self._render_with_documents(slots).partition(_DOCUMENTS)
        return [*self._encode_slots(after, contents), *self.encode_text(begun)]

    def encode_next_turn(self, question: str) -> list[int]:
        """Return ids that follow an answer, its end included, up to where the next one begins."""
        turns = [
            _user_message("x"),
            Message(role="assistant", content="x"),
            _user_message(question),
        ]
        slots, contents = _slot_contents(turns)
        _, _, after = self._render_with_documents(slots).partition(slots[1]["content"])
        return self._encode_slots(after, contents)

    def encode_chat(self, question: str | Sequence[Message]) -> list[int]:
        """Return ids of a conversation without documents, up to where the answer begins.

        Raises:
            QuestionError: The question is empty, or the template refuses the conversation.
        """
        question, begun = _split_answer(question)
        system, turns = _split_conversation(question)
        if system and self._has_system:
            turns.insert(0, Message(role="system", content=system))
            system = ""
        slots, contents = _slot_contents(_fold_system(system, turns))
        rendered = self._encode_slots(self._render_template(slots), contents)
        return [*rendered, *self.encode_text(begun)]

    def hash_layout(self) -> str:
        """Return a short hash of the prompt's layout: instruction, template and passage frame."""
        layout = [*self.encode_prefix(), *self.encode_passage(1, "title", "label", "text")]
        return hashlib.sha256(json.dumps(layout).encode()).hexdigest()[:16]

    def encode_text(self, text: str) -> list[int]:
        """Return ids of text that must not become control tokens, whatever it spells."""
        ids: list[int] = []
        for piece in self._harmless_pieces(repair_text(text)):
            ids += self._tokenizer.encode(piece, add_special_tokens=False)
        return ids

    def _harmless_pieces(self, text: str) -> Iterator[str]:
        """Cut every spelled control token after its first character; joined they are `text`."""
        start = 0
        # Searched anew from the second character on: tokens may overlap.
        while self._control and (match := self._split.search(text, start)):
            yield text[start : match.start() + 1]
            start = match.start() + 1
        if start < len(text):
            yield text[start:]

    def _encode_template(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False) if text else []

    def _encode_slots(self, rendered: str, contents: Sequence[str]) -> list[int]:
        ids: list[int] = []
        # re.split with one group alternates: literal, slot number, literal, slot number, ...
        for i, piece in enumerate(_SLOT.split(rendered)):
            ids += (
                self._encode_template(piece)
                if i % 2 == 0
                else self.encode_text(contents[int(piece)])
            )
        return ids

    def _render_with_documents(self, turns: Sequence[Message]) -> str:
        """Render the template around the documents' slot: a system turn, or the first user turn."""
        if self._has_system:
            return self._render_template([Message(role="system", content=_DOCUMENTS), *turns])
        first, *rest = turns
        return self._render_template([_user_message(_DOCUMENTS + first["content"]), *rest])

    def _render_template(self, messages: Sequence[Message]) -> str:
        if not self._tokenizer.chat_template:
            return _plain_template(messages, self._tokenizer)
        try:
            with _time_limit(_TEMPLATE_SECONDS):
                rendered: Any = self._tokenizer.apply_chat_template(
                    [{"role": m["role"], "content": m["content"]} for m in messages],
                    tokenize=False,
                    add_generation_prompt=True,
                    enable_thinking=False,
                )
        # A template is a program that came with the model: it may also overflow or run on.
        except (TemplateError, ArithmeticError, MemoryError, RecursionError, TimeoutError) as error:
            raise QuestionError(
                f"the chat template of {self._tokenizer.name_or_path!r} refuses this conversation: "
                f"{error}; user and assistant turns must alternate and end with the user"
            ) from error
        return str(rendered)

    def _template_keeps_system(self) -> bool:
        """Return True if a system turn is accepted and shown (Gemma refuses it, some drop it)."""
        try:
            probe = self._render_template(
                [Message(role="system", content=_DOCUMENTS), _user_message("x")]
            )
        except QuestionError:
            return False
        return _DOCUMENTS in probe


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise `TimeoutError` in Python code that runs inside for longer; from any thread."""
    end, before = time.monotonic() + seconds, sys.gettrace()

    def trace(frame: FrameType, event: str, argument: object) -> Any:  # noqa: ANN401 - itself
        if time.monotonic() > end:
            raise TimeoutError(f"it runs for more than {seconds:g} seconds")
        return trace

    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


def _control_tokens(tokenizer: PreTrainedTokenizerBase) -> set[str]:
    """Return every added token that text could spell, but for runs of white space."""
    added = {str(token.content) for token in tokenizer.added_tokens_decoder.values()}
    return {token for token in added | set(tokenizer.all_special_tokens) if len(token.strip()) > 1}


def _plain_template(messages: Sequence[Message], tokenizer: PreTrainedTokenizerBase) -> str:
    """Render turns for a base model, which has no chat template."""
    names = {"system": "", "user": "Question: ", "assistant": "Answer: "}
    turns = "".join(f"{names[m['role']]}{m['content']}\n" for m in messages)
    return f"{tokenizer.bos_token or ''}{turns}Answer:"


def _user_message(content: str) -> Message:
    return Message(role="user", content=content)


def _split_answer(
    question: str | Sequence[Message],
) -> tuple[str | Sequence[Message], str]:
    """Split off an answer that was begun, which is the last turn where it is the assistant's."""
    if isinstance(question, str) or len(question) < 2 or question[-1]["role"] != "assistant":
        return question, ""
    return question[:-1], question[-1]["content"].rstrip()


def _check_message(message: Message) -> None:
    """Refuse a message of another shape; a template would paste its role in as it is."""
    if not isinstance(message, Mapping):
        raise QuestionError(f"a message is a dict with role and content, not {message!r}")
    role, content = message.get("role"), message.get("content")
    if role not in get_args(Role):
        raise QuestionError(f"a message's role is one of {[*get_args(Role)]}, not {role!r}")
    if not isinstance(content, str):
        raise QuestionError(f"a message's content is a string, not {type(content).__name__}")


def _split_conversation(question: str | Sequence[Message]) -> tuple[str, list[Message]]:
    """Return all system text, and the other turns with neighbors of one role joined.

    Templates demand both: one system turn in front, and alternating turns after it.
    """
    messages = [_user_message(question)] if isinstance(question, str) else list(question)
    for message in messages:
        _check_message(message)
    spoken = [message for message in messages if message["role"] != "system"]
    if not spoken or spoken[-1]["role"] != "user":
        raise QuestionError("a conversation must end with the user's question")
    if not spoken[-1]["content"].strip():
        raise QuestionError("the question is empty; write what you want to know")
    system = "\n\n".join(m["content"] for m in messages if m["role"] == "system")
    turns: list[Message] = []
    for message in spoken:
        if turns and turns[-1]["role"] == message["role"]:
            joined = f"{turns.pop()['content']}\n\n{message['content']}"
            message = Message(role=message["role"], content=joined)
        turns.append(message)
    return system, turns


def _fold_system(system: str, turns: Sequence[Message]) -> list[Message]:
    """Return the turns, with system text at the start of the first."""
    if not system:
        return list(turns)
    first, *rest = turns
    return [Message(role=first["role"], content=f"{system}\n\n{first['content']}"), *rest]


def _slot_contents(messages: Sequence[Message]) -> tuple[list[Message], list[str]]:
    """Return messages whose contents are slots, and the contents by slot (0: the documents)."""
    slots = [
        Message(role=message["role"], content=f"{_OPEN}{i}{_CLOSE}")
        for i, message in enumerate(messages, start=1)
    ]
    return slots, ["", *(message["content"] for message in messages)]
