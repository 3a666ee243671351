"""What the words of Rich Text Format mean to a reader of its text."""

from __future__ import annotations

import codecs
import functools
import re

TOKEN = re.compile(
    r"\\(?P<word>[A-Za-z]{1,32})(?P<value>-?\d{1,10})? ?|\\'(?P<hex>[0-9A-Fa-f]{2})"
    r"|\\(?P<sign>[^A-Za-z'])|(?P<brace>[{}])|[\r\n\0]+|(?P<text>[^\\{}\r\n\0]+)|\\",
    re.DOTALL,
)

CHARACTERS = {
    "tab": " ", "line": "\n", "lbr": "\n", "emdash": "—", "endash": "–", "bullet": "•",
    "lquote": "‘", "rquote": "’", "ldblquote": "“", "rdblquote": "”", "emspace": " ",
    "enspace": " ", "qmspace": " ", "zwj": "\u200d", "zwnj": "\u200c",
}  # fmt: skip
SIGNS = {"~": " ", "_": "-", "-": "", "\n": "\n", "\r": "\n", "\\": "\\", "{": "{", "}": "}"}

_SKIPPED = """
colortbl stylesheet themedata colorschememapping latentstyles datastore listtable generator
listoverridetable rsidtbl xmlnstbl filetbl revtbl fldinst nonesttables template bkmkstart bkmkend
mmathPr mmathPict wgrffmtfilter pgdsctbl pgptbl ftnsep ftnsepc ftncn aftnsep aftnsepc aftncn atnid
atnref atndate atnparent atrfstart atrfend objdata objclass objname nonshppict shprslt xe tc tcn
rxe userprops keywords comment doccomm subject operator company manager category hlinkbase creatim
revtim printim buptim pn pnseclvl datafield background do blipuid picprop passwordhash protusertbl
staticval propname oldcprops oldpprops oldtprops oldsprops
"""
SKIPPED = frozenset(_SKIPPED.split())
"""Groups whose text no reader sees, or sees elsewhere."""

_SHOWN = """
cs ds ts shpinst shptxt annotation atnauthor nesttableprops ud moMath moMathPara mr me mnum mden
msup msub mdeg mfName mlim mf msSup msSub msSubSup mrad md mnary mfunc shppict formfield ffdeftext
dptxbxtext txfieldtext
"""
SHOWN = frozenset(_SHOWN.split())
"""Groups that programs which do not know them may ignore, and that are read here."""

MARGINS = {
    f"{kind}{page}": kind.capitalize()
    for kind in ("header", "footer")
    for page in ("", "l", "r", "f")
}

_CHARSETS = {
    0: "cp1252", 77: "mac_roman", 128: "cp932", 129: "cp949", 130: "johab", 134: "gb18030",
    136: "cp950", 161: "cp1253", 162: "cp1254", 163: "cp1258", 177: "cp1255", 178: "cp1256",
    186: "cp1257", 204: "cp1251", 222: "cp874", 238: "cp1250", 254: "cp437", 255: "cp850",
}  # fmt: skip
SYMBOL_CHARSET = 2
BY_WORD = {"mac": "mac_roman", "pc": "cp437", "pca": "cp850"}


@functools.lru_cache(maxsize=256)
def find_encoding(charset: int | None, page: int | None, default: str) -> str:
    """Return the encoding of a font by its character set or its code page."""
    named = f"cp{page}" if page else _CHARSETS.get(-1 if charset is None else charset, default)
    try:
        return codecs.lookup("utf-8" if page == 65001 else named).name
    except LookupError:
        return default
