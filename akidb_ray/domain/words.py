"""Words of a text: what full-text conditions and keyword search compare.

A word is a run of letters, marks and digits of any script, with apostrophes inside, in lower case
and Unicode's normal form NFKC. Scripts that put no spaces between words (Chinese, Japanese) give a
word per character, so that phrases of them are found.
"""

import re
import unicodedata

_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
# Python's \w has no vowel signs and accents of their own, which most scripts of India need.
_MARKS = "".join(
    chr(code) for code in range(0x300, 0x12000) if unicodedata.category(chr(code))[0] == "M"
)
_LETTER = rf"(?:(?![{_UNSPACED}_])[\w{_MARKS}])"
_WORD = re.compile(rf"[{_UNSPACED}]|{_LETTER}+(?:['’]{_LETTER}+)*")
_ASCII_WORD = re.compile(r"[a-z0-9]+(?:'[a-z0-9]+)*")


def words_of(text: str) -> list[str]:
    """All words of a text, in their order."""
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    found = _WORD.findall(unicodedata.normalize("NFKC", text).lower())
    return [word.replace("’", "'") for word in found]
