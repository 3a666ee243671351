"""The tokenizer: byte-level BPE, one token per digit, ChatML special tokens."""

from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>")
END_OF_TEXT, TURN_START, TURN_END, PADDING = range(4)


def blank_tokenizer() -> Tokenizer:
    """Return an untrained tokenizer with the recipe's rules.

    A space is put before every piece of text that lacks one, so that a word has the same tokens at
    the start of an answer as in the middle of the passage it is copied from. Decoding drops it.
    """
    tokenizer = Tokenizer(models.BPE())
    # Digits are split last: before, each single digit would be given a space of its own.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=True),
            pre_tokenizers.Digits(individual_digits=True),
        ]
    )
    tokenizer.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 1, 0)])
    return tokenizer


def train_tokenizer(texts: Iterable[str], size: int) -> Tokenizer:
    """Learn a vocabulary of `size` entries (fewer where the texts are short)."""
    tokenizer = blank_tokenizer()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[AddedToken(t, special=True, normalized=False) for t in SPECIAL_TOKENS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def load_tokenizer(folder: Path) -> Tokenizer:
    """Open the tokenizer that `prepare` wrote into `folder`."""
    return Tokenizer.from_file(str(folder / "tokenizer.json"))
