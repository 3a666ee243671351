"""Pages dense with values of one kind: forms and tables as document readers give them."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recipes.train_nano.values import Maker, Words
from recipes.train_small.layouts import group_parts, lay_out_form, lay_out_table
from recipes.train_small.material import FILES, Asked, Passage
from recipes.train_small.phrases import coin, make_style

HERE = Path(__file__).parent
MOST_CELLS = 9
# Asked the other way round: which row has a value. `{h}` is the heading of the rows.
REVERSED = (
    "Which {h} has the {label} {value}?",
    "What is the {h} with {label} {value}?",
    "Which {h} has {value} as its {label}?",
    "{label} {value}: which {h} is that?",
    "Which {h} is listed with {value}?",
)


@dataclass(frozen=True)
class Attribute:
    """One thing that a page states.

    Args:
        kind: Kind of its value.
        labels: How pages name it.
        questions: How people ask for it; `{e}` stands for the row of a table.
    """

    kind: str
    labels: tuple[str, ...]
    questions: tuple[str, ...]

    def ask(self, rng: random.Random, value: str) -> str:
        """Choose a question that fits the currency or unit of a value."""
        fitting = [q for q in self.questions if _fits(q, value)]
        return rng.choice(fitting or self.questions[:1])


@dataclass(frozen=True)
class Theme:
    """Things that stand on one page.

    Args:
        titles: Titles of such pages.
        row: Kind of the rows of a table; empty for a form.
        heads: Headings of the rows.
        attributes: What is stated.
    """

    titles: tuple[str, ...]
    row: str
    heads: tuple[str, ...]
    attributes: tuple[Attribute, ...]

    def name(self, rng: random.Random) -> str:
        """Choose a title: its own, or a file's."""
        return rng.choice(self.titles if rng.random() < 0.6 else FILES)


def read_themes(path: Path) -> list[Theme]:
    """Read `forms.txt` or `tables.txt`."""
    themes = []
    blocks = path.read_text(encoding="utf-8").split("\n\n")
    for block in blocks[1:]:
        head, *rest = block.strip().splitlines()
        titles, row, heads = [*(part.strip() for part in head.lstrip("# ").split(";")), "", ""][:3]
        rows = [[part.strip() for part in line.split(";")] for line in rest]
        attributes = tuple(Attribute(k, _parted(names), _parted(asks)) for k, names, asks in rows)
        themes.append(Theme(_parted(titles), row, _parted(heads), attributes))
    return themes


def _parted(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split("|"))


def _fits(question: str, value: str) -> bool:
    if "dollars" in question:
        return any(mark in value for mark in ("$", "USD", "dollars"))
    return not ("watts" in question and not value.endswith(("W", "watts")))


class Dense:
    """Draws forms and tables.

    Args:
        words: Words that names are made of.
    """

    def __init__(self, words: Words) -> None:
        self._words = words
        self._forms = read_themes(HERE / "forms.txt")
        self._tables = read_themes(HERE / "tables.txt")

    def draw(self, rng: random.Random, count: int) -> list[Passage]:
        """Draw passages of one or a few documents."""
        made: list[Passage] = []
        # The questions of a form do not name it: two forms of one theme would be ambiguous.
        left = rng.sample(self._forms, len(self._forms))
        while len(made) < count:
            maker = Maker(np.random.default_rng(rng.getrandbits(63)), self._words)
            if rng.random() < 0.5 and left:
                made += _form(rng, maker, left.pop())
            else:
                made += _table(rng, maker, rng.choice(self._tables))
        return made[:count]


def _form(rng: random.Random, maker: Maker, theme: Theme) -> list[Passage]:
    chosen = _choose(rng, theme.attributes, rng.randint(4, 14))
    values = _values(rng, maker, chosen)
    labels = [rng.choice(attribute.labels) for attribute in chosen]
    parts, joint = lay_out_form(rng, list(zip(labels, values, strict=True)))
    title, opening = theme.name(rng), _opening(rng, theme, maker)
    made = []
    for group in group_parts(parts, rng.randint(300, 800)):
        text = joint.join(parts[i] for i in group)
        if group[0] == 0 and opening:
            text = f"{opening}\n{text}"
        passage = Passage(title, str(rng.randint(1, 90)) if rng.random() < 0.5 else None, text)
        shown = [i for i, value in enumerate(values) if any(value in parts[j] for j in group)]
        for i in shown:
            kin = [values[j] for j in shown if j != i and chosen[j].kind == chosen[i].kind]
            for _ in range(2 if rng.random() < 0.2 else 1):
                question = _name_or_ask(rng, chosen[i], labels[i], values[i])
                passage.asked.append(Asked(question, values[i], values[i], tuple(kin)))
        kinds = {chosen[i].kind for i in shown}
        near = [a for a in theme.attributes if a not in chosen and a.kind in kinds]
        passage.unknown = [rng.choice(a.questions) for a in rng.sample(near, min(3, len(near)))]
        made.append(passage)
    return made


def _name_or_ask(rng: random.Random, attribute: Attribute, label: str, value: str) -> str:
    """Ask for a value: mostly in other words than the page's."""
    if rng.random() < 0.15:
        return rng.choice((f"What is the {label[0].lower()}{label[1:]}?", label, f"{label}?"))
    return attribute.ask(rng, value)


def _table(rng: random.Random, maker: Maker, theme: Theme) -> list[Passage]:
    columns = _choose(rng, theme.attributes, rng.randint(1, 5))
    names = _name_rows(rng, maker, theme.row, rng.randint(4, 20))
    styles = [make_style(rng, maker, column.kind) for column in columns]
    rows = [[style() for style in styles] for _ in names]
    heads = [rng.choice(theme.heads), *(rng.choice(column.labels) for column in columns)]
    cells = [[name, *row] for name, row in zip(names, rows, strict=True)]
    header, lines = lay_out_table(rng, heads, cells)
    repeat = len({c.kind for c in columns}) < len(columns) or rng.random() < 0.5
    title = theme.name(rng)
    absent = [coin(rng, maker, theme.row) for _ in range(4)]
    absent = [a for a in absent if all(a not in n and n not in a for n in names)]
    unasked = [a for a in theme.attributes if a not in columns]
    made = []
    for group in group_parts(lines, rng.randint(250, 700)):
        text = "\n".join(lines[i] for i in group)
        if header and (group[0] == 0 or repeat):
            text = f"{header}\n{text}"
        if rng.random() < 0.3:
            text = f"{rng.choice(theme.titles)}\n{text}"
        passage = Passage(title, str(rng.randint(1, 400)) if rng.random() < 0.5 else None, text)
        passage.asked = _ask_cells(rng, columns, names, rows, group)
        passage.asked += _ask_rows(rng, heads, names, rows, group)
        for column in rng.sample(unasked, min(2, len(unasked))):
            name = names[rng.choice(group)]
            passage.unknown.append(rng.choice(column.questions).replace("{e}", name))
        for name in absent[:2]:
            question = rng.choice(rng.choice(columns).questions)
            passage.unknown.append(question.replace("{e}", name))
        made.append(passage)
    return made


def _ask_cells(
    rng: random.Random,
    columns: Sequence[Attribute],
    names: Sequence[str],
    rows: Sequence[Sequence[str]],
    group: Sequence[int],
) -> list[Asked]:
    """Ask for some cells; those of the same row and kind are the nearest wrong ones."""
    places = [(i, k) for i in group for k in range(len(columns))]
    asked = []
    for i, k in rng.sample(places, min(len(places), MOST_CELLS)):
        kind = columns[k].kind
        beside = [rows[i][n] for n, c in enumerate(columns) if n != k and c.kind == kind]
        others = (*beside, *beside, *(rows[n][k] for n in group if n != i))
        question = columns[k].ask(rng, rows[i][k]).replace("{e}", names[i])
        asked.append(Asked(question, rows[i][k], names[i], others))
    return asked


def _ask_rows(
    rng: random.Random,
    heads: Sequence[str],
    names: Sequence[str],
    rows: Sequence[Sequence[str]],
    group: Sequence[int],
) -> list[Asked]:
    """Ask which row has a value, where one row alone has it."""
    asked = []
    for i in rng.sample(group, min(len(group), MOST_CELLS // 3)):
        k = rng.randrange(len(rows[i]))
        value = rows[i][k]
        if sum(value in cell for row in rows for cell in row) == 1:
            question = rng.choice(REVERSED).format(
                h=heads[0].lower(), label=heads[k + 1].lower(), value=value
            )
            others = tuple(names[n] for n in group if n != i)
            asked.append(Asked(question[0].upper() + question[1:], names[i], value, others))
    return asked


def _name_rows(rng: random.Random, maker: Maker, kind: str, count: int) -> list[str]:
    """Name the rows of a table, none of them part of another."""
    names: list[str] = []
    for _ in range(3 * count):
        name = coin(rng, maker, kind)
        if len(names) < count and all(name not in n and n not in name for n in names):
            names.append(name)
    return names


def _values(rng: random.Random, maker: Maker, chosen: Sequence[Attribute]) -> list[str]:
    """Make the values of a page: of one style for each kind, each value once where it can be."""
    styles: dict[str, Callable[[], str]] = {}
    values: list[str] = []
    for attribute in chosen:
        style = styles.setdefault(attribute.kind, make_style(rng, maker, attribute.kind))
        drawn = [style() for _ in range(6)]
        values.append(next((v for v in drawn if v not in values), drawn[0]))
    return values


def _choose(rng: random.Random, attributes: Sequence[Attribute], count: int) -> list[Attribute]:
    """Choose attributes, many of them of one or two kinds."""
    kinds = sorted({a.kind for a in attributes})
    near = rng.sample(kinds, min(2, len(kinds)))
    first = [a for a in attributes if a.kind in near]
    rest = [a for a in attributes if a.kind not in near]
    rng.shuffle(first)
    rng.shuffle(rest)
    # One label must not name two things of a page.
    kept: list[Attribute] = []
    for attribute in (first[: rng.randint(count // 2, count)] + rest)[:count]:
        if not any(set(attribute.labels) & set(k.labels) for k in kept):
            kept.append(attribute)
    rng.shuffle(kept)
    return kept


def _opening(rng: random.Random, theme: Theme, maker: Maker) -> str:
    """Begin some pages with a heading or a line of their own."""
    draw = rng.random()
    if draw < 0.3:
        title = rng.choice(theme.titles)
        return title.upper() if rng.random() < 0.3 else title
    if draw < 0.45:
        return f"{rng.randint(1, 9)}.{rng.randint(1, 9)} {maker.make('noun').capitalize()}"
    return ""
