"""Planted facts: a sentence for a passage, a question and the answer that it states."""

from dataclasses import dataclass

from recipes.train_nano.relations import TRAINING, Relation
from recipes.train_nano.values import Maker

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
    if relation.subject == "any" and subject is None:
        subject = maker.make(maker.pick(SUBJECTS))
    name = "" if not relation.subject else subject or maker.make(relation.subject)
    attribute = maker.make("noun") if "{a}" in relation.questions[0] else ""
    value = maker.make(relation.value)
    slots = {"e": name, "E": capitalised(name), "a": attribute, "A": capitalised(attribute)}
    statement = maker.pick(relation.statements).format(v=value, **slots)
    question = capitalised(maker.pick(relation.questions).format(**slots))
    topic = attribute or relation.questions[0]
    return Fact(capitalised(statement), question, value, topic, name)


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
    for _ in range(count):
        fact = _relative(maker, facts, relations)
        if not conflicts(fact, facts):
            facts.append(fact)
    return facts


def _relative(maker: Maker, facts: list[Fact], relations: tuple[Relation, ...]) -> Fact:
    """Make a fact that is near a former one in a third of all cases: a hard distractor."""
    if not facts or maker.chance(0.65):
        return make_fact(maker, relations)
    former = facts[maker.below(len(facts))]
    same = tuple(r for r in relations if r.subject and r.questions[0] == former.topic)
    if same and maker.chance(0.6):
        return make_fact(maker, same)
    general = tuple(r for r in relations if r.subject == "any")
    return make_fact(maker, general or relations, former.subject or None)
