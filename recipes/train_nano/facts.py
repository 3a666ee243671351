"""Planted facts: a sentence for a passage, a question and the answer that it states."""

import re
from dataclasses import dataclass

from recipes.train_nano.relations import COMPOUND, TRAINING, Compound, Relation
from recipes.train_nano.values import Maker

SLOT = re.compile(r"{(\w+)}")
OPEN_SLOTS = ("role", "fee", "span", "moment", "identifier", "site")
COMPOUND_SHARE = 0.3
SUBJECTS = ("person", "place", "company", "project", "product", "thing", "words")


@dataclass(frozen=True)
class Fact:
    """One stated fact.

    Args:
        statement: Sentence that states it.
        question: Question about it.
        answer: Span of the statement that answers the question.
        topic: What must not be stated twice, or the question has two answers.
        subject: The thing spoken of; empty where the document speaks of itself.
    """

    statement: str
    question: str
    answer: str
    topic: str
    subject: str


def capitalised(text: str) -> str:
    """Return `text` with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def make_fact(
    maker: Maker, relations: tuple[Relation, ...] = TRAINING, subject: str | None = None
) -> Fact:
    """Make one fact of a random relation, about `subject` where one is given."""
    relation = relations[maker.below(len(relations))]
    slots = _open_slots(maker)
    statement = maker.pick(relation.statements)
    question = _matching(maker, statement, relation.questions)
    name = _subject(maker, relation, subject)
    slots |= {"e": name, "E": capitalised(name)}
    value = maker.make(relation.value)
    return Fact(
        capitalised(statement.format(v=value, **slots)),
        capitalised(question.format(**slots)),
        value,
        relation.questions[0].format(**{**slots, "e": "", "E": ""}),
        name,
    )


def make_compound(maker: Maker, compound: Compound) -> list[Fact]:
    """Make a sentence that states several things, with a question about each."""
    statement = maker.pick(compound.statements)
    used = set(
        SLOT.findall(" ".join([*compound.statements, *sum(compound.questions.values(), ())]))
    )
    name = maker.make(compound.subject) if compound.subject else ""
    slots = _open_slots(maker) | {"e": name, "E": capitalised(name), "n2": maker.make("noun")}
    slots |= {slot: maker.make(slot.rstrip("2")) for slot in sorted(used - slots.keys())}
    text = capitalised(statement.format(**slots))
    facts = []
    for slot, questions in compound.questions.items():
        if f"{{{slot}}}" in statement:
            question = capitalised(_matching(maker, statement, questions).format(**slots))
            # The one wording of all its questions tells facts apart, the subject left out.
            topic = questions[0].format(**{**slots, "e": "", "E": ""})
            facts.append(Fact(text, question, slots[slot], topic, name))
    return facts


def _open_slots(maker: Maker) -> dict[str, str]:
    """Words for the frames that leave the thing asked for open."""
    noun, (base, past) = maker.make("noun"), maker.verb()
    words = {name: maker.word(name) for name in OPEN_SLOTS}
    both = {"a": noun, "A": capitalised(noun), "n": noun, "N": capitalised(noun)}
    return {**words, **both, "do": base, "did": past}


def _matching(maker: Maker, statement: str, questions: tuple[str, ...]) -> str:
    """Pick a question that asks with the words the statement has, where there is one."""
    said = set(SLOT.findall(statement.lower())) - {"v"}
    asked = [set(SLOT.findall(q.lower())) for q in questions]
    near = min(len(_verbless(said) ^ _verbless(slots)) for slots in asked)
    return maker.pick(
        [
            q
            for q, s in zip(questions, asked, strict=True)
            if len(_verbless(said) ^ _verbless(s)) == near
        ]
    )


def _verbless(slots: set[str]) -> set[str]:
    return {"did" if slot == "do" else slot for slot in slots}


def _subject(maker: Maker, relation: Relation, given: str | None) -> str:
    if not relation.subject:
        return ""
    kind = maker.pick(SUBJECTS) if relation.subject == "any" else relation.subject
    return given or maker.make(kind)


def conflicts(fact: Fact, others: list[Fact]) -> bool:
    """Say whether a question about `fact` could also mean one of `others`.

    A document that speaks of itself ("the rent") must be the only one that states this.
    """
    return any(
        o.topic == fact.topic and (o.subject == fact.subject or not o.subject or not fact.subject)
        for o in others
    ) or any(o.question == fact.question for o in others)


def make_facts(maker: Maker, count: int, relations: tuple[Relation, ...] = TRAINING) -> list[Fact]:
    """Make up to `count` facts that do not conflict; some share a subject or a relation."""
    facts: list[Fact] = []
    while count > 0:
        count -= 1
        made = [_relative(maker, facts, relations)]
        if relations is TRAINING and maker.chance(COMPOUND_SHARE):
            made = make_compound(maker, maker.pick(COMPOUND))
            count -= len(made) - 1
        if not any(conflicts(fact, facts) for fact in made):
            facts += made
    return facts


def _topic(relation: Relation) -> str:
    return relation.questions[0].replace("{e}", "")


def _relative(maker: Maker, facts: list[Fact], relations: tuple[Relation, ...]) -> Fact:
    """Make a fact that is near a former one in a third of all cases: a hard distractor."""
    if not facts or maker.chance(0.65):
        return make_fact(maker, relations)
    former = facts[maker.below(len(facts))]
    same = tuple(r for r in relations if r.subject and _topic(r) == former.topic)
    if same and maker.chance(0.6):
        return make_fact(maker, same)
    general = tuple(r for r in relations if r.subject == "any")
    return make_fact(maker, general or relations, former.subject or None)
