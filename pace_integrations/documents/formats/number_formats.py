"""Numbers as a spreadsheet shows them: by the format codes of Excel, as far as they say digits."""

from __future__ import annotations

import datetime
import decimal
import re
from functools import lru_cache

_PARTS = re.compile(
    r'"(?P<quoted>[^"]*)"|\\(?P<single>.)|\[\$(?P<money>[^\]-]*)[^\]]*\]|(?P<skipped>\[[^\]]*\]|_.|\*.)'
    r"|(?P<plain>.)",
    re.DOTALL,
)
_DIGITS = "0#?"
_MANY = 1e12  # with more digits there is nothing to round
_MINUTES, _HOURS = 60, 3600


def format_value(value: object, code: str = "General") -> str:
    """Return a value as the sheet shows it, about: dates, percent, decimals, units, leading zeros.

    Args:
        value: A number, a date, a time, a text, a truth value, or None.
        code: The format's code; dates and times are written as ISO 8601 has them.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, datetime.datetime):
        midnight = value.time() == datetime.time(0)
        return value.date().isoformat() if midnight else value.isoformat(" ", "minutes")
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return _format_duration(value)
    if not isinstance(value, int | float):
        return str(value)
    return _format_number(value, code)


@lru_cache(maxsize=1024)
def _find_kind(code: str) -> tuple[bool, bool]:
    """Return whether a format is that of dates, and of durations."""
    from openpyxl.styles.numbers import is_date_format, is_timedelta_format

    return is_date_format(code), is_timedelta_format(code)


def format_stored(value: str, code: str = "General", *, from_1904: bool = False) -> str:
    """Return a number that an Office file stores as text as the file shows it.

    Args:
        value: The number; whatever else it is comes back as it is.
        code: The format's code.
        from_1904: Whether days are counted from 1904, as old files of one system do.
    """
    try:
        number: float = int(value) if value.lstrip("-").isdigit() else float(value)
        is_date, is_duration = _find_kind(code)
        if not is_date:
            return format_value(number, code)
        from openpyxl.utils.datetime import CALENDAR_MAC_1904, CALENDAR_WINDOWS_1900, from_excel

        epoch = CALENDAR_MAC_1904 if from_1904 else CALENDAR_WINDOWS_1900
        return format_value(from_excel(number, epoch, timedelta=is_duration), code)
    except (ValueError, OverflowError):
        return value


def _format_duration(value: datetime.timedelta) -> str:
    seconds = round(abs(value.total_seconds()))
    hours, rest = divmod(seconds, _HOURS)
    text = f"{hours}:{rest // _MINUTES:02d}"
    sign = "-" if value < datetime.timedelta(0) else ""
    return sign + (f"{text}:{rest % _MINUTES:02d}" if rest % _MINUTES else text)


def _tokenize(code: str) -> list[list[tuple[str, bool]]]:
    """Return the sections of a format: characters, and whether they stand for themselves."""
    sections: list[list[tuple[str, bool]]] = [[]]
    for match in _PARTS.finditer(code):
        plain = match["plain"]
        if plain == ";":
            sections.append([])
        elif plain is not None:
            sections[-1].append((plain, plain not in "0#?.,%E@/"))
        elif match["skipped"] is None:
            literal = match["quoted"] or match["single"] or match["money"] or ""
            sections[-1] += [(char, True) for char in literal]
    return sections


def _format_number(value: float, code: str) -> str:
    sections = _tokenize(code)
    section, shown = sections[0], value
    if value < 0 and len(sections) > 1:
        section, shown = sections[1], -value
    elif value == 0 and len(sections) > 2:
        section = sections[2]
    signs = "".join(char for char, literal in section if not literal)
    places = [n for n, (char, literal) in enumerate(section) if char in _DIGITS and not literal]
    if not places or "E" in signs or "/" in signs or "General" in code:
        words = "".join(char for char, literal in section if literal)
        if not places and signs in ("", "-") and words and "General" not in code:
            return words.strip()  # a word for zero, say
        digits = signs.partition("E")[0].partition(".")[2].count("0")
        return f"{value:.{digits}E}" if "E" in signs else _format_plain(value)
    first, last = places[0], places[-1]
    before = "".join(char for char, _ in section[:first])
    after = section[last + 1 :]
    scale = sum(char == "," and not literal for char, literal in after)
    tail = "".join(char for char, literal in after if literal or char not in ",")
    shown = shown * 100 ** (signs.count("%")) / 1000**scale
    sign = "-" if shown < 0 else ""
    text = _fill_digits(abs(shown), section[first : last + 1])
    return " ".join(f"{sign}{before}{text}{tail}".split())


def _format_plain(value: float) -> str:
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def _round_half_up(value: float, places: int) -> str:
    """Return a number with so many decimals; 2.675 is 2.68, as its 15 digits say it."""
    if value >= _MANY:
        return f"{value:.{places}f}"
    step = decimal.Decimal(1).scaleb(-places)
    return f"{decimal.Decimal(f'{value:.15g}').quantize(step, decimal.ROUND_HALF_UP):f}"


def _fill_digits(value: float, pattern: list[tuple[str, bool]]) -> str:
    """Return a number in the places of a pattern, such as ``#,##0.00`` or ``000-0000``."""
    point = next((n for n, part in enumerate(pattern) if part == (".", False)), len(pattern))
    whole, rest = pattern[:point], [char for char, _ in pattern[point + 1 :] if char in _DIGITS]
    number = _round_half_up(value, len(rest))
    digits, _, decimals = number.partition(".")
    least = "".join(rest).rstrip("#?")
    decimals = decimals[: len(least)] + decimals[len(least) :].rstrip("0")
    if (",", False) in whole:
        digits = f"{int(digits):,}"
        zeros = sum(char == "0" for char, _ in whole)
        text = digits.rjust(zeros, "0") if zeros > 1 else digits
    else:
        text, left = "", list(digits if int(digits) else "")
        for char, literal in reversed(whole):
            if literal:
                text = char + text
            elif left:
                text = left.pop() + text
            elif char == "0":
                text = "0" + text
        text = "".join(left) + text
    return f"{text}.{decimals}" if decimals else text
