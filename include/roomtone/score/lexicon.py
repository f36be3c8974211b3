"""Word lists of support language (`word_lists.txt`) and the general valence lexicon (VADER's, MIT, `valence.tsv`).

Lists hold normalised words (`normalise`); phrases are up to four such words.
"""

import re
from functools import cache
from importlib.resources import files

_ELONGATED = re.compile(r"(.)\1{2,}")


def _sections() -> dict[str, list[str]]:
    """Sections of `word_lists.txt`: name to entries, in order."""
    sections: dict[str, list[str]] = {}
    name = ""
    for line in files("roomtone.score").joinpath("word_lists.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("[") and line.endswith("]"):
            name = line[1:-1]
            sections[name] = []
        elif line and not line.startswith("#"):
            parts = line.split(";") if name.startswith("phrases ") else line.split()
            sections[name] += [part.strip() for part in parts if part.strip()]
    return sections


_SECTIONS = _sections()


def _valued(kind: str) -> dict[str, float]:
    """Entries of the sections `kind VALUE` with their value."""
    return {
        entry: float(name.split()[1])
        for name, entries in _SECTIONS.items()
        if name.split()[0] == kind
        for entry in entries
    }


def _phrases() -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for name, entries in _SECTIONS.items():
        if name.startswith("phrases "):
            _, category, weight = name.split()
            found.setdefault(category, {}).update(dict.fromkeys(entries, float(weight)))
    return found


# In support messages these name things or are courtesy; their everyday valence would colour plain requests.
NEUTRAL_IN_SUPPORT = frozenset(_SECTIONS["neutral_in_support"])

# Valences of support words that the general lexicon lacks or weighs for other contexts.
SUPPORT_VALENCE = _valued("valence")
EMOJI_VALENCE = _valued("emoji")
EMOTICON_VALENCE = _valued("emoticons")

NEGATORS = frozenset(_SECTIONS["negators"])
BOOSTERS = frozenset(_SECTIONS["boosters"])
DAMPENERS = frozenset(_SECTIONS["dampeners"])
CONTRAST = frozenset(_SECTIONS["contrast"])
FIRST_PERSON = frozenset(_SECTIONS["first_person"])
SECOND_PERSON = frozenset(_SECTIONS["second_person"])
POLITE = frozenset(_SECTIONS["polite"])
ASKING = frozenset(_SECTIONS["asking"])
PERSISTENT = frozenset(_SECTIONS["persistent"])
THANKS = frozenset(_SECTIONS["thanks"])
APOLOGY = frozenset(_SECTIONS["apology"])
PRAISE = frozenset(_SECTIONS["praise"])
CONFUSED = frozenset(_SECTIONS["confused"])
PROBLEM = frozenset(_SECTIONS["problem"])
SWEARING = frozenset(_SECTIONS["swearing"])
FEELING = frozenset(_SECTIONS["feeling"])
NUMBER_WORDS = frozenset(_SECTIONS["number_words"])
TIME_UNITS = frozenset(_SECTIONS["time_units"])

# Marker phrases: category -> phrase -> weight. A phrase inside a negation scope counts for nothing.
PHRASES = _phrases()

# Function words by language. A word of several languages stands in each of them.
FUNCTION_WORDS = {
    name.split()[1]: frozenset(entries) for name, entries in _SECTIONS.items() if name.startswith("language ")
}
LANGUAGES = tuple(FUNCTION_WORDS)


def normalise(word: str) -> str:
    """Lower case, straight apostrophes, elongations cut to two letters ("soooo" -> "soo")."""
    lowered = word.lower().replace("\u2019", "'")
    return _ELONGATED.sub(r"\1\1", lowered)


def normalise_all(words: list[str]) -> list[str]:
    """Each of many words as `normalise` gives it, in a few calls; words with a line feed are done one by one."""
    lowered = "\n".join(words).lower().replace("\u2019", "'")
    found = _ELONGATED.sub(r"\1\1", lowered).split("\n")
    return found if len(found) == len(words) else [normalise(word) for word in words]


@cache
def valences() -> dict[str, float]:
    """Valence of normalised words, -4 to 4: the general lexicon under this project's words for support."""
    lines = files("roomtone.score").joinpath("valence.tsv").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("\t") for line in lines if line and not line.startswith("#")]
    table = dict(zip(normalise_all([word for word, _ in pairs]), [float(value) for _, value in pairs], strict=True))
    for word in NEUTRAL_IN_SUPPORT:
        table.pop(word, None)
    return table | SUPPORT_VALENCE
