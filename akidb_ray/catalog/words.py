"""The words of a text, as lists are searched for them: whatever case and accents."""

import unicodedata

# Of SQLite's tokenizer unicode61: letters, digits and what a private alphabet uses.
_WORD_CATEGORIES = ("L", "N", "Co")


def written_words_of(text: str) -> list[str]:
    """As they are written, for a tokenizer that makes them plain: marks stay in their words."""
    apart = "".join(
        character if unicodedata.category(character).startswith((*_WORD_CATEGORIES, "M")) else " "
        for character in unicodedata.normalize("NFC", text)
    )
    return [word for word in apart.split() if words_of(word)]


def words_of(text: str) -> list[str]:
    """Plain, in their order. All else separates words: "Café-Bar 7" holds cafe, bar and 7."""
    plain = "".join(
        character
        for character in unicodedata.normalize("NFD", text)
        if unicodedata.category(character) != "Mn"
    )
    apart = "".join(
        character if unicodedata.category(character).startswith(_WORD_CATEGORIES) else " "
        for character in plain.lower()
    )
    return apart.split()
