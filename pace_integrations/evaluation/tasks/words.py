"""Words and sentences to build tasks from, with no file and no download."""

from __future__ import annotations

import random
from collections.abc import Iterator

_ADJECTIVES = """
amber ancient autumn bitter bold brisk broken calm careful cheerful clever coastal cold copper
crooked curious dusty early eager faint famous fearless flat foggy formal fragile gentle golden
grave greedy hidden hollow humble icy idle jolly keen late lively lonely loyal mellow modest
narrow noisy northern pale patient plain polite proud quiet rapid rough rustic scarlet shallow
sharp shy silent silver slender smooth solemn southern steady stern stubborn sturdy sunny tender
tidy tiny upright vivid wary weary wild windy wise wooden woven young
"""
_NOUNS = """
anchor apron arch barge barn basket beacon bell blanket boat bottle branch bridge broom bucket
cabin candle canoe cellar chapel chimney cliff clock coin compass cottage cradle curtain desk dial
door drum easel farm feather fence ferry field flute forge fountain garden gate glove hammer
harbour harp hedge hinge island jar kettle kite ladder lamp lantern ledger lens letter lighthouse
loom map meadow mill mirror needle orchard oven paddle parcel pasture pebble pier pillow plough
pocket pond quarry quilt raft ribbon river roof rope saddle sail scarf shelf shovel sledge spoon
stable stair statue stove studio table tavern thimble torch tower trunk tunnel umbrella valley
vase village wagon wall well wharf wheel whistle window workshop
"""
_VERBS = """
carried cleaned copied counted covered described drew examined explained found guarded hid ignored
inspected joined kept lent lifted locked measured mended moved noticed opened ordered painted
passed polished praised promised pulled pushed raised remembered repaired sketched sold sorted
stored studied swept tested traded visited washed watched
"""
_FIRST = """
Ada Alice Amir Anna Arthur Beatrice Bruno Carla Cecil Clara Cyril Daria David Edith Elena Emil
Esther Felix Flora George Greta Hanna Hector Helen Hugo Ida Igor Irene Ivan Jasper Joan Julia Karl
Kate Lars Laura Leo Lydia Marco Marta Miles Nadia Nina Noel Olga Oscar Paula Peter Ralph Rita Rosa
Samuel Selma Simon Stella Sven Thea Tom Ursula Victor Wanda Walter Yara Zoe
"""
_LAST = """
Abbott Ainsley Barlow Benson Bishop Brandt Carver Chambers Cole Crane Dalton Drake Ellis Falk
Fenner Fletcher Forbes Garner Gibson Graves Hale Harlow Hayes Holm Hunter Ingram Jarvis Keller
Kemp Kirby Lambert Larsen Lowell Mason Mercer Morley Nash Norris Osborne Palmer Parrish Pike
Porter Quill Ramsey Reeve Rowe Sawyer Sharpe Slater Stone Sutton Tanner Thorne Turner Vance Wade
Walsh Warner Webster Whitby Yates York
"""
_PLACES = """
Aldmoor Ashby Barrowdale Birchwick Blackford Calder Carrick Coldwell Danby Eastmere Elmstead
Fairholm Farleigh Glenrock Greywater Halford Hartwell Holmbury Ivyton Kelby Kingsmere Langdale
Larkhill Marlow Millbrook Norwick Oakhurst Penfold Quarrington Redcliff Rosewell Saltney Selworth
Stanmere Thornbury Upwell Wavering Westlea Whitford Wynstead
"""

ADJECTIVES, NOUNS, VERBS = _ADJECTIVES.split(), _NOUNS.split(), _VERBS.split()
FIRST, LAST, PLACES = _FIRST.split(), _LAST.split(), _PLACES.split()

# The repeated text of RULER's simplest haystacks.
NOISE = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again."

_FORMS = (
    "The {a} {n} by the {m} was {v} long before the {b} {o}.",
    "Nobody in the village {v} the {a} {n} that winter.",
    "Behind the {n} there was a {a} {m}, and beyond it a {b} {o}.",
    "Every morning the {a} {n} and the {m} were {v} again.",
    "It is said that a {a} {n} once stood beside the {b} {m}.",
    "The children {v} the {n} while the {a} {m} stayed where it was.",
    "A {a} {n} is worth little without a {b} {m}.",
    "When the rain came, the {n} and the {a} {m} were {v} in haste.",
    "Some people preferred the {a} {n}; others {v} the {m}.",
    "The road led past a {a} {n}, a {m} and a {b} {o}.",
    "Between the {n} and the {m} lay a {a} path.",
    "They {v} the {a} {n}, then the {m}, and at last the {o}.",
    "No two visitors ever {v} the same {n}.",
    "In spring the {a} {n} smelled of rain and the {m} of smoke.",
    "An old {n} was {v} and a {b} {m} put in its place.",
    "What remained of the {n} was {a}, much like the {m}.",
)  # fmt: skip


def random_sentence(rng: random.Random) -> str:
    """Draw a sentence about nothing that anybody asks for."""
    a, b = rng.sample(ADJECTIVES, 2)
    n, m, o = rng.sample(NOUNS, 3)
    return rng.choice(_FORMS).format(a=a, b=b, n=n, m=m, o=o, v=rng.choice(VERBS))


def iter_prose(rng: random.Random) -> Iterator[str]:
    """Yield sentences without end."""
    while True:
        yield random_sentence(rng)


def random_names(rng: random.Random, count: int) -> list[str]:
    """Draw different full names of people."""
    pairs = [f"{first} {last}" for first in FIRST for last in LAST]
    return rng.sample(pairs, count)


def random_number(rng: random.Random, digits: int = 7) -> str:
    """Draw a number without a leading zero."""
    return str(rng.randrange(10 ** (digits - 1), 10**digits))


def random_key(rng: random.Random) -> str:
    """Draw two words with a hyphen, as RULER makes its keys."""
    return f"{rng.choice(ADJECTIVES)}-{rng.choice(NOUNS)}"


def random_uuid(rng: random.Random) -> str:
    """Draw a random identifier in the form of UUID version 4."""
    digits = f"{rng.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"
