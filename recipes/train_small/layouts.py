"""How forms and tables look when document readers are done with them."""

import random
from collections.abc import Sequence

from recipes.train_small.material import LISTS

BARS = ("{l} | {v}", "| {l} | {v} |")


def lay_out_form(rng: random.Random, facts: Sequence[tuple[str, str]]) -> tuple[list[str], str]:
    """Return the parts of a page, and what joins them.

    Args:
        rng: Source of randomness.
        facts: Labels with their values.
    """
    style = rng.random()
    if style < 0.6:
        form = rng.choice((*LISTS["line"], *BARS))
        numbered = rng.random() < 0.15
        lines = [form.format(l=label, v=value) for label, value in facts]
        return [f"{i}. " * numbered + x for i, x in enumerate(lines, 1)], rng.choice(
            ("\n", "\n", "\n\n")
        )
    if style < 0.8:
        same = rng.choice(LISTS["sentence"]) if rng.random() < 0.6 else ""
        return [
            (same or rng.choice(LISTS["sentence"])).format(l=lower_label(label), L=label, v=value)
            for label, value in facts
        ], " "
    return _lay_out_series(rng, facts), " "


def _lay_out_series(rng: random.Random, facts: Sequence[tuple[str, str]]) -> list[str]:
    """Tell several values in a sentence."""
    parts, left = [], list(facts)
    turned = rng.random() < 0.5
    while left:
        count = rng.randint(2, 4)
        group, left = left[:count], left[count:]
        items = [
            f"{value} {lower_label(label)}"
            if turned and rng.random() < 0.3
            else f"{lower_label(label)} {value}"
            for label, value in group
        ]
        body = ", ".join(items[:-1]) + (" and " if items[:-1] else "") + items[-1]
        parts.append(f"{body[0].upper()}{body[1:]}.")
    return parts


def lower_label(label: str) -> str:
    """Return a label as it stands within a sentence."""
    return label if label[:2].isupper() else label[0].lower() + label[1:]


def lay_out_table(
    rng: random.Random, heads: Sequence[str], cells: Sequence[Sequence[str]]
) -> tuple[str, list[str]]:
    """Return the heading of a table, empty where every line has its labels, and the lines."""
    style = rng.random()
    if style < 0.75:
        joint = " " if style < 0.35 else " | " if style < 0.55 else rng.choice(("\t", "   "))
        edge = "| {} |" if joint == " | " else "{}"
        return edge.format(joint.join(heads)), [edge.format(joint.join(c)) for c in cells]
    if style < 0.87:
        joint = rng.choice(("; ", ", ", "\n"))
        return "", [joint.join(f"{h}: {v}" for h, v in zip(heads, c, strict=True)) for c in cells]
    if style < 0.95:
        return "", [f"{c[0]} ({_lay_out_pairs(heads[1:], c[1:])})" for c in cells]
    return "\n".join(heads), ["\n".join(c) for c in cells]


def _lay_out_pairs(heads: Sequence[str], values: Sequence[str]) -> str:
    return ", ".join(f"{lower_label(h)} {v}" for h, v in zip(heads, values, strict=True))


def group_parts(parts: Sequence[str], size: int) -> list[list[int]]:
    """Cut parts into groups of about `size` characters; return the indices of each."""
    groups: list[list[int]] = [[]]
    length = 0
    for index, part in enumerate(parts):
        if groups[-1] and length + len(part) > size:
            groups.append([])
            length = 0
        groups[-1].append(index)
        length += len(part) + 1
    return groups
