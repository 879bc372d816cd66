"""Full-text conditions on the different strings of a column.

`words_of` says what a text's words are, and is asked last: before it, Arrow leaves out the strings
in which a wanted word does not even occur, so that a million of them cost no Python each. That is
sure where a string is of plain characters, which neither NFKC nor lower case turns into others
than Arrow knows; all strings with other characters are asked.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from akidb_ray.domain.filter import Filter, MatchText
from akidb_ray.domain.filter_meaning import passes
from akidb_ray.domain.words import words_of

# Latin with accents, Cyrillic, kana, the common ideographs, Hangul, and punctuation. Marks that
# join the letter before them are left out.
_PLAIN = (
    r"\x00-\x7f\x{c0}-\x{ff}\x{400}-\x{45f}\x{2010}-\x{2016}\x{2018}-\x{2022}\x{3001}-\x{3011}"
    r"\x{3041}-\x{3096}\x{30a1}-\x{30fe}\x{4e00}-\x{9fff}\x{ac00}-\x{d7a3}\x{ff01}-\x{ff0f}"
)
_ALL_PLAIN = f"^[{_PLAIN}]*$"
# Lower-case copies are made of so many strings at a time.
_BLOCK_WORDS = 16_384


def words_that_meet(condition: MatchText, words: pa.Array) -> NDArray[np.bool_]:
    """Which of `words`, an Arrow array of strings, meet the condition: bool (len(words),)."""
    parts = _parts(condition.words)
    mask = np.zeros(len(words), np.bool_)
    wanted, filter = set(condition.words), Filter((condition,))
    for start in range(0, len(words) if parts else 0, _BLOCK_WORDS):
        block = words.slice(start, _BLOCK_WORDS)
        for place in np.flatnonzero(_may_have(block, parts)).tolist():
            text = block[place].as_py()
            mask[start + place] = wanted.issubset(words_of(text)) and (
                not condition.phrase or passes(filter, {condition.key: [text]}, "")
            )
    return mask


def _parts(words: Sequence[str]) -> list[str]:
    """What must occur in a string of plain characters, lowered, that has all the words.

    Apostrophes inside of words stand for several characters.
    """
    return list(dict.fromkeys(part for word in words for part in word.split("'")))


def _may_have(words: pa.Array, parts: Sequence[str]) -> NDArray[np.bool_]:
    others = ~_array(pc.string_is_ascii(words))
    lowered = pc.utf8_lower(words) if others.any() else pc.ascii_lower(words)
    found = [pc.match_substring(lowered, part) for part in parts]
    mask: NDArray[np.bool_] = np.all([_array(each) for each in found], axis=0)
    if others.any():
        strange = pc.invert(pc.match_substring_regex(words.filter(pa.array(others)), _ALL_PLAIN))
        mask[np.flatnonzero(others)[_array(strange)]] = True
    return mask


def _array(flags: pa.BooleanArray) -> NDArray[np.bool_]:
    array: NDArray[np.bool_] = flags.to_numpy(zero_copy_only=False)
    return array
