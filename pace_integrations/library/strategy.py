"""Whether a question is asked of each passage by itself or of all of them together.

Small models answer look-ups best from one passage at a time; what has to be put together from
several passages cannot be asked so. The signs of such questions are a list.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

Strategy = Literal["auto", "each", "together"]
STRATEGIES: tuple[Strategy, ...] = ("auto", "each", "together")

# Why a question needs several passages, and the words that tell so.
SIGNS: Mapping[str, re.Pattern[str]] = {
    name: re.compile(pattern, re.IGNORECASE)
    for name, pattern in {
        "it compares": r"\b(compar\w*|differ\w*|versus|vs\.?|in common|unlike|(more|less|fewer|"
        r"older|newer|larger|smaller|longer|shorter|earlier|later|higher|lower|cheaper|better|"
        r"first|same)\b.*\b(than|or)\b|both\b.*\band\b|which of\b.*\bor\b|respectively)",
        "it sums up": r"\b(summari[sz]\w*|sum(med)? up|overview|outline|main (points?|ideas?|"
        r"topics?|findings?)|key (points?|findings?|takeaways?)|in general|overall|"
        r"what (is|are) (this|these|the) (documents?|papers?|reports?|texts?|files?|collection) "
        r"about)\b",
        "it asks for all of something": r"\b(list (all|every|the)|all (of )?the|every one of|"
        r"each of the|how many different|enumerate|name (all|every))\b",
        "it explains across passages": r"\b(timeline|history of|chronolog\w*|step by step|"
        r"relationship between|relate[sd]? to|connect\w* (to|with|between)|trade-?offs?|"
        r"pros and cons|advantages and disadvantages)\b",
        "it goes through another fact": r"\b(who|what|where|when|which|how)\b.*\b(of|by|in|for|"
        r"from|to) the \w+( \w+)? (that|who|which|whose|where)\b",
    }.items()
}


def choose_strategy(question: str, strategy: Strategy) -> tuple[Literal["each", "together"], str]:
    """Return how a question is asked, and why.

    Args:
        question: The question.
        strategy: What the caller wants; ``"auto"`` goes by the question's words.
    """
    if strategy != "auto":
        return strategy, "as asked for"
    for reason, pattern in SIGNS.items():
        if pattern.search(question):
            return "together", f"the question needs several passages: {reason}"
    return "each", "the question looks something up"
