"""Settings in messages, spelled as the options that a person can type."""

from __future__ import annotations

import re
from dataclasses import fields

from pace_integrations.cli.options import GROUPS


def to_shell_words(message: str) -> str:
    """Return an error's message with settings as the shell spells them.

    >>> to_shell_words("lower max_new_tokens, or overflow='yarn' or 'window'")
    'lower --max-new-tokens, or --overflow yarn or window'
    """

    def spell_value(found: re.Match[str]) -> str:
        value = "" if found[2] == "True" else f" {found[2].replace(chr(39), '')}"
        return _SPELLINGS[found[1]] + value

    message = _BOTH_WAYS.sub(r"\1", message)
    message = _WITH_VALUE.sub(spell_value, message)
    message = _AT_START.sub(lambda found: _SPELLINGS[found[1]], message)
    return _LONG_NAME.sub(lambda found: _SPELLINGS[found[1]], message)


def _list_spellings() -> dict[str, str]:
    names = {field.name: f"--{field.name.replace('_', '-')}" for g in GROUPS for field in fields(g)}
    return {**names, "seconds": "--time-limit"}


_SPELLINGS = _list_spellings()
_NAMES = "|".join(_SPELLINGS)
_LONG_NAMES = "|".join(name for name in _SPELLINGS if "_" in name)  # no words of a sentence
_BOTH_WAYS = re.compile(r"(--[\w-]+), \w+\.\w+(?=\))")  # the option, and the setting beside it
_WITH_VALUE = re.compile(rf"(?<![\w.'-])(?:\w+\.)?({_NAMES})=('[^']*'(?: or '[^']*')*|[\w.]+)")
_AT_START = re.compile(rf"^(?:\w+\.)?({_NAMES})(?= must )")
_LONG_NAME = re.compile(rf"(?<![\w.'-])(?:\w+\.)?({_LONG_NAMES})(?![\w'=(])")
