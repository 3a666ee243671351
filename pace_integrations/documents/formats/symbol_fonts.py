"""Characters of the fonts Symbol and Wingdings, whose codes mean signs and no letters."""

from __future__ import annotations

_SYMBOL = (
    (0x20, " !∀#∃%&∋()∗+,−./0123456789:;<=>?"),
    (0x40, "≅ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ[∴]⊥_"),
    (0x60, "‾αβχδεφγηιϕκλμνοπθρστυϖωξψζ{|}∼"),
    (0xA0, "€ϒ′≤⁄∞ƒ♣♦♥♠↔←↑→↓°±″≥×∝∂•÷≠≡≈…⏐⎯↵"),
    (0xC0, "ℵℑℜ℘⊗⊕∅∩∪⊃⊇⊄⊂⊆∈∉∠∇®©™∏√⋅¬∧∨⇔⇐⇑⇒⇓"),
    (0xE0, "◊⟨®©™∑⎛⎜⎝⎡⎢⎣⎧⎨⎩⎪"),
    (0xF1, "⟩∫⌠⎮⌡⎞⎟⎠⎤⎥⎦⎫⎬⎭"),
)
_WINGDINGS = {
    0x28: "☎", 0x2A: "✉", 0x4A: "☺", 0x4C: "☹", 0x53: "☒", 0x6C: "●", 0x6E: "■", 0x6F: "☐",
    0x76: "❖", 0xA3: "☐", 0xA7: "▪", 0xA8: "☐", 0xB7: "•", 0xD8: "▸", 0xDF: "←", 0xE0: "→",
    0xE1: "↑", 0xE2: "↓", 0xE7: "←", 0xE8: "→", 0xF0: "⇨", 0xFB: "✗", 0xFC: "✓", 0xFD: "☒",
    0xFE: "☒",
}  # fmt: skip
_FONTS = {
    "symbol": {start + n: char for start, row in _SYMBOL for n, char in enumerate(row)},
    "wingdings": _WINGDINGS,
}


def decode_symbol(font: str, code: int) -> str:
    """Return the sign that a code has in a font of signs, or "" where it is not known.

    Args:
        font: The font's name; an unknown one is taken for Wingdings, as bullets mostly are.
        code: The code, with or without the 0xF000 that Office adds.
    """
    signs = _FONTS["symbol" if font.lower().startswith("symbol") else "wingdings"]
    return signs.get(code & 0xFF, "") if code < 0x100 or 0xF000 <= code <= 0xF0FF else chr(code)


def replace_symbols(font: str, text: str) -> str:
    """Return a text of a font of signs with the characters for them."""
    return "".join(
        decode_symbol(font, ord(char)) or char if "\uf000" <= char <= "\uf0ff" else char
        for char in text
    )
