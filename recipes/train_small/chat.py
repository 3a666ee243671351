"""Conversations in the base's own words, so that it does not forget how to hold one.

Prompts are made here, replies are drawn from the base itself before training: the adapter learns
to leave alone what it was not asked to change.
"""

import json
import random
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedModel

from recipes.train_small.material import LISTS

NEW_TOKENS = 110
BATCHES = {"cpu": 16}  # conversations drawn together; elsewhere:
BATCH = 256


def prompts(count: int, seed: int = 0) -> list[list[dict[str, str]]]:
    """Make conversations that end with the user."""
    rng = random.Random(seed)
    made = []
    for _ in range(count):
        topic, other = rng.sample(LISTS["topic_of_talk"], 2)
        text = rng.choice(LISTS["opener" if rng.random() < 0.35 else "request"])
        turns = [{"role": "user", "content": text.format(t=topic, u=other)}]
        system = rng.choice(LISTS["system"])
        if system:
            turns.insert(0, {"role": "system", "content": system})
        made.append(turns)
    return made


@torch.inference_mode()
def write_replies(base: PreTrainedModel, folder: Path, out: Path, count: int) -> None:
    """Draw the base's replies and write the conversations as JSON lines, once.

    Args:
        base: The base.
        folder: Its folder, for tokenizer and template.
        out: Where they are kept.
        count: Number of conversations.
    """
    if out.exists():
        return
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    torch.manual_seed(0)
    rows = []
    asked, batch = prompts(count), BATCHES.get(base.device.type, BATCH)
    for i in range(0, count, batch):
        texts = [
            tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
            for turns in asked[i : i + batch]
        ]
        given = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
        given = given.to(base.device)
        made = base.generate(  # type: ignore[operator]
            **given,
            max_new_tokens=NEW_TOKENS,
            do_sample=True,
            temperature=0.7,
            top_p=0.9,
        )
        for text, ids in zip(texts, made[:, given["input_ids"].shape[1] :], strict=True):
            reply = tokenizer.decode(ids, skip_special_tokens=False)
            body, end, _ = str(reply).partition("<|im_end|>")
            rows.append({"prompt": text, "reply": body + end})
    out.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


class Chat:
    """Draws plain rows of conversations.

    Args:
        path: What `write_replies` wrote.
        tokenizer: The base's tokenizer.
    """

    def __init__(self, path: Path, tokenizer: Tokenizer) -> None:
        lines = path.read_text(encoding="utf-8").splitlines()
        self._rows = [json.loads(line) for line in lines]
        self._tokenizer = tokenizer

    def draw(self, rng: random.Random, length: int) -> tuple[list[int], list[float]]:
        """Return ids and weights of one conversation, the replies alone bearing loss."""
        row = rng.choice(self._rows)
        ask, reply = (self._encode(row[k]) for k in ("prompt", "reply"))
        ids = (ask + reply)[:length]
        return ids, ([0.0] * len(ask) + [0.5] * len(reply))[:length]

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids
