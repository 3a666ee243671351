"""What the student learns from: the teacher's next-token distributions, and two options.

Relations (experimental) are DFRA's terms of MLDR-KD (arXiv 2502.06189), made for image classes,
in a form that fits a vocabulary: only the teacher's likeliest tokens count, and logits are
centered, since products of logits change when a constant is added to them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from recipes.train_ahn.student import Traced

TOP = 32  # tokens of the vocabulary whose relations count, of one position
POOL = 64  # and of all positions together
POSITIONS = 128  # most positions that are related to each other


@dataclass(frozen=True)
class Weights:
    """Weights of the terms.

    Attributes:
        kl: Of the divergence of next-token distributions.
        relations: Of the relational terms.
        outputs: Of the distance of attention outputs.
        silence: Of the divergence from the bare window where the state is another text's.
        warm_up: Steps over which relations rise from nothing.
    """

    kl: float = 1.0
    relations: float = 0.0
    outputs: float = 0.0
    silence: float = 0.0
    warm_up: int = 20


def compute_kl(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean divergence KL(teacher || student) of logits ``(tokens, vocabulary)``."""
    wanted, made = teacher.log_softmax(-1), student.log_softmax(-1)
    return nn.functional.kl_div(made, wanted, reduction="batchmean", log_target=True)


def _relate(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the divergence of relations inside vectors ``(rows, size)``.

    Of a vector z these are the columns of softmax(z z^T / sqrt(size)).
    """
    made, wanted = (
        (z[:, :, None] * z[:, None, :] / z.shape[1] ** 0.5).log_softmax(1)
        for z in (student, teacher)
    )
    return (wanted.exp() * (wanted - made)).sum(1).mean()


def _center(logits: Tensor, places: Tensor) -> Tensor:
    """Return the logits at `places` of each row, less their mean."""
    chosen = logits.gather(1, places)
    return chosen - chosen.mean(1, keepdim=True)


def compare_relations(student: Tensor, teacher: Tensor) -> Tensor:
    """Return DFRA's two relational terms of logits ``(tokens, vocabulary)``.

    Between classes: the teacher's likeliest tokens of each position. Between samples: positions
    spread over the sequence, for each of the tokens that are likeliest over all of them.
    """
    top = teacher.topk(min(TOP, teacher.shape[1]), dim=1).indices
    classes = _relate(_center(student, top), _center(teacher, top))
    step = -(-len(teacher) // POSITIONS)
    some, own = teacher[::step], student[::step]
    pool = some.softmax(-1).sum(0).topk(min(POOL, teacher.shape[1])).indices
    pool = pool.expand(len(some), -1)
    samples = _relate(_center(own, pool).mT, _center(some, pool).mT)
    return classes + samples


def compare_outputs(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """Return the mean squared distance of normalized attention outputs over all layers."""
    losses = [
        nn.functional.mse_loss(
            nn.functional.normalize(a.float(), dim=-1), nn.functional.normalize(b.float(), dim=-1)
        )
        * a.shape[-1]
        for a, b in zip(student, teacher, strict=True)
    ]
    return torch.stack(losses).mean()


def compute_loss(
    student: Traced, teacher: Traced, weights: Weights, step: int
) -> tuple[Tensor, float]:
    """Return the loss of a step, and the divergence in it."""
    divergence = compute_kl(student.logits, teacher.logits)
    loss = weights.kl * divergence
    if weights.relations:
        rise = min(1.0, (step + 1) / max(1, weights.warm_up))
        loss = loss + rise * weights.relations * compare_relations(student.logits, teacher.logits)
    if weights.outputs:
        loss = loss + weights.outputs * compare_outputs(student.outputs, teacher.outputs)
    return loss, float(divergence.detach())
