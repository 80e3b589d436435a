r"""What the text of an answer says: a number, a letter, the content of a `\boxed{}`. None where it says nothing clear.

Prompts ask for the bare answer behind `Answer:`, so what comes first there counts; what a model writes after that is
not searched for something better.
"""

import re
from fractions import Fraction

LONGEST = 4000  # characters of an answer that are looked at: more than a canvas holds, and few for a regular expression
_NUMBER = re.compile(r"(?<![\w.])-?(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+|(?=\.[0-9]))(?:\.[0-9]+)?(?:/[0-9]+)?")
_PHRASE = re.compile(r"\banswer(?: is|:)", re.IGNORECASE)
_NO_ARTICLE = r"(?!(?<=A) (?!(?:and|or|is|because|since|but)\b)[a-z])"
_MARKS = str.maketrans({"$": " ", "*": " ", "\N{MINUS SIGN}": "-", "£": " ", "€": " ", "`": " "})
_LATEX = (
    (r"\$", "$"),
    ("-$", "-"),
    (r"\(", " "),
    (r"\)", " "),
    (r"\[", " "),
    (r"\]", " "),
    ("{,}", ","),
    (r"\!", ""),
    (r"\,", ""),
)


def boxed(text: str) -> str | None:
    r"""The content of the last `\boxed{}`, to the end of the text where its brace is never closed."""
    start = text.rfind(r"\boxed{")
    if start < 0:
        return None
    start += len(r"\boxed{")
    depth = 1
    for index in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[index], 0)
        if depth == 0:
            return text[start:index]
    return text[start:]


def behind_phrase(text: str) -> str:
    """What follows the last `answer is` or `answer:`; the whole text without one."""
    *_, last = (0, *(found.end() for found in _PHRASE.finditer(text)))
    return text[last:]


def number_in(text: str) -> Fraction | None:
    """The number that an answer gives: behind `answer is` and the last equals sign of its line, the first one there.

    Thousands may have commas; currencies, units and percent signs are left out.
    """
    line = _stated(text)
    found = _NUMBER.search(line[line.rfind("=") + 1 :]) or _NUMBER.search(line)
    if found is None:
        return None
    try:
        return Fraction(found[0].replace(",", ""))
    except ZeroDivisionError:
        return None


def letter_in(text: str, letters: str) -> str | None:
    """The one of `letters` (upper case) that an answer chooses: `A`, `(a)`, `A. and its text`, `The answer is A`.

    None where it names two, or none.
    """
    line = _stated(text)
    either = f"[{letters}{letters.lower()}]"
    if opening := re.match(rf"\W*({either})(?:[).:\]]|\s*$|\s+-)", line):
        another = re.match(rf"[\W_]*(?:(?:and|or)\b\W*)?\(?[{letters}](?:[).:,]|\s*$)", line[opening.end() :])
        return None if another else opening[1].upper()
    named = set(re.findall(rf"(?<![\w'])([{letters}])(?![\w']){_NO_ARTICLE}", line))
    return named.pop() if len(named) == 1 else None


def _stated(text: str) -> str:
    """The first line that holds something, or the last box, without marks that say nothing."""
    text = text[:LONGEST]
    line = boxed(text) or next((line for line in text.splitlines() if line.strip()), "")
    line = re.sub(r"\\text\w*\{([^{}]*)\}", r"\1", line)
    for latex, plain in _LATEX:
        line = line.replace(latex, plain)
    return behind_phrase(line.translate(_MARKS))
