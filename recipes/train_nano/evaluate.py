"""Evaluation of a packaged checkpoint with Transformers alone, printed as a table.

python -m recipes.train_nano.evaluate CHECKPOINT --data FOLDER
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers import PreTrainedTokenizerBase as AnyTokenizer

from recipes.train_nano import formats, metrics, tasks
from recipes.train_nano.relations import HELD_OUT, TRAINING
from recipes.train_nano.tasks import Item

NEW_TOKENS = 48
BATCH_TOKENS = 16_000
COLUMNS = ("task", "n", "exact", "F1", "contains", "citation", "unknown", "refused")


@dataclass(frozen=True)
class Scores:
    """Means over a task; None where the task has no such question.

    Args:
        count: Number of questions.
        exact: Exact answers among the answerable.
        f1: Overlap of words among the answerable.
        contains: Answers that contain a right one among the answerable.
        citation: Right passages cited among the answerable.
        unknown: Unanswerable questions that were answered with "The documents do not say."
        refused: Answerable questions that were answered so.
    """

    count: int
    exact: float | None
    f1: float | None
    contains: float | None
    citation: float | None
    unknown: float | None
    refused: float | None


class Reader:
    """A checkpoint that answers questions greedily, many at a time.

    Args:
        checkpoint: Folder or name that Transformers can open.
    """

    def __init__(self, checkpoint: str) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.tokenizer: AnyTokenizer = AutoTokenizer.from_pretrained(checkpoint)
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            checkpoint, dtype=torch.float32
        )
        self.model = model.to(self.device).eval()  # type: ignore[arg-type]

    def answer(self, items: Sequence[Item]) -> list[str]:
        """Return the replies to `items`, in their order."""
        prompts = [self._encode(item) for item in items]
        replies = [""] * len(items)
        for indices in _batched([len(p) for p in prompts]):
            made = self._generate([prompts[i] for i in indices])
            for index, reply in zip(indices, made, strict=True):
                replies[index] = reply
        return replies

    def _encode(self, item: Item) -> list[int]:
        pieces = formats.prompt(item.passages, item.question)
        return [i for p in pieces for i in self.tokenizer.encode(p, add_special_tokens=False)]

    @torch.inference_mode()
    def _generate(self, prompts: list[list[int]]) -> list[str]:
        width = max(map(len, prompts))
        pad = self.tokenizer.pad_token_id
        ids = torch.tensor([[pad] * (width - len(p)) + p for p in prompts])
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
        made = self.model.generate(
            input_ids=ids.to(self.device),
            attention_mask=mask.to(self.device),
            max_new_tokens=NEW_TOKENS,
            do_sample=False,
        )
        return self.tokenizer.batch_decode(made[:, width:], skip_special_tokens=True)


def _batched(lengths: list[int]) -> Iterator[list[int]]:
    """Group indices of similar length into batches of bounded size."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) + 1) * lengths[index] > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def score(items: Sequence[Item], replies: Sequence[str]) -> Scores:
    """Compare replies with what was asked for."""
    parted = [metrics.split_citation(reply) for reply in replies]
    pairs = [(i, a, n) for i, (a, n) in zip(items, parted, strict=True)]
    known = [p for p in pairs if p[0].answers]
    unknown = [p for p in pairs if not p[0].answers]
    return Scores(
        len(items),
        _mean([metrics.exact(a, i.answers) for i, a, _ in known]),
        _mean([metrics.token_f1(a, i.answers) for i, a, _ in known]),
        _mean([metrics.contains(a, i.answers) for i, a, _ in known]),
        _mean([float(n in i.pages) for i, _, n in known]),
        _mean([float(metrics.refuses(a)) for _, a, _ in unknown]),
        _mean([float(metrics.refuses(a)) for _, a, _ in known]),
    )


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def all_tasks(
    data: Path, lengths: Sequence[int], limit: int, count: int
) -> Iterator[tuple[str, list[Item]]]:
    """Every task with its name, made when it is its turn."""
    yield "short documents", tasks.short_documents(data, count, TRAINING)
    yield "short documents, unseen templates", tasks.short_documents(data, count, HELD_OUT)
    for tokens in lengths:
        name = f"planted facts, {tokens} tokens"
        yield name, tasks.planted(data, tokens, count)
        yield f"{name}, unseen templates", tasks.planted(data, tokens, count, HELD_OUT)
    for passages in (1, 10):
        yield f"SQuAD 2.0, {passages} passages", tasks.squad(data, passages, limit)
    yield "2WikiMultihopQA, 10 passages", tasks.two_wiki(data, limit)
    yield "key-value retrieval, 75 pairs", tasks.key_value(data, min(limit, count))


def line(name: str, scores: Scores) -> str:
    """Render one line of the table."""
    count, *shares = astuple(scores)
    cells = [name, str(count), *("-" if s is None else f"{s:.3f}" for s in shares)]
    return "| " + " | ".join(cells) + " |"


def header() -> str:
    """Return the first two lines of the table."""
    return "| " + " | ".join(COLUMNS) + " |\n|" + " --- |" * len(COLUMNS)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint")
    parser.add_argument("--data", type=Path, default=Path("data/eval"), help="evaluation rows")
    parser.add_argument("--lengths", type=int, nargs="*", default=[1024, 2048, 4096, 8192])
    parser.add_argument("--limit", type=int, default=600, help="questions of each data set")
    parser.add_argument("--count", type=int, default=100, help="planted facts of each length")
    parser.add_argument("--only", default="", help="tasks whose names contain this")
    parser.add_argument("--show", type=int, default=0, help="replies to print of each task")
    return parser.parse_args()


def main() -> None:
    """Print the table."""
    given = arguments()
    reader = Reader(given.checkpoint)
    print(header(), flush=True)
    for name, items in all_tasks(given.data, given.lengths, given.limit, given.count):
        if given.only not in name:
            continue
        replies = reader.answer(items)
        print(line(name, score(items, replies)), flush=True)
        for item, reply in list(zip(items, replies, strict=True))[: given.show]:
            print(f"    {item.question!r} {item.answers} {reply!r}")


if __name__ == "__main__":
    main()
