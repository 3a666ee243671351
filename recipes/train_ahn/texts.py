"""Token sequences of long texts: those of a step depend on seed and step alone."""

import hashlib
import json
import lzma
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from pace_integrations import Corpus


@dataclass(frozen=True)
class Texts:
    """Tokens of texts that are long enough.

    Attributes:
        parts: Token ids, one array per text.
    """

    parts: tuple[NDArray[np.int32], ...]

    def draw(self, rng: random.Random, length: int) -> Tensor:
        """Return `length` consecutive tokens of one text ``(1, length)``."""
        part = rng.choice(self.parts)
        start = rng.randrange(len(part) - length + 1)
        return torch.from_numpy(part[start : start + length].astype(np.int64))[None]


def read_texts(path: Path, most: int) -> Iterator[str]:
    """Yield texts, at most `most` characters of each.

    Args:
        path: An xz-compressed file of JSON lines ``{"text"}``, or documents of any format, a file
            or a folder, which are taken apart into texts.
        most: Most characters.
    """
    if path.suffix != ".xz":
        for document in Corpus.from_paths([path]).documents:
            whole = "\n\n".join(page.text for page in document.pages)
            yield from (whole[at : at + most] for at in range(0, len(whole), most))
        return
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)["text"][:most]


def load_texts(
    path: Path, tokenizer: PreTrainedTokenizerBase, *, length: int, count: int, cache: Path | None
) -> Texts:
    """Return the first texts of a file that have `length` tokens or more.

    Args:
        path: As for `read_texts`.
        tokenizer: Turns them into tokens.
        length: Fewest tokens.
        count: Most texts.
        cache: Folder where the tokens are kept, or None.
    """
    mark = f"{path.resolve()} {tokenizer.name_or_path} {length} {count}"
    kept = cache / f"{hashlib.sha256(mark.encode()).hexdigest()[:16]}.npz" if cache else None
    if kept and kept.exists():
        with np.load(kept) as saved:
            return Texts(tuple(np.split(saved["ids"], saved["ends"][:-1])))
    parts: list[NDArray[np.int32]] = []
    for text in read_texts(path, 40 * length):
        if len(text) < 2 * length:  # no tokenizer makes more of them
            continue
        ids = tokenizer.encode(text, add_special_tokens=False)
        if len(ids) >= length:
            parts.append(np.array(ids, dtype=np.int32))
        if len(parts) == count:
            break
    if not parts:
        raise SystemExit(f"{path} holds no text of {length} tokens")
    if kept and cache:
        cache.mkdir(parents=True, exist_ok=True)
        ends = np.cumsum([len(part) for part in parts])
        beside = kept.with_suffix(".writing.npz")
        np.savez(beside, ids=np.concatenate(parts), ends=ends)
        beside.replace(kept)
    return Texts(tuple(parts))
