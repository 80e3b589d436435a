r"""What the text of an answer says: a number, a letter, the content of a `\boxed{}`. None where it says nothing clear.

Prompts ask for the bare answer behind `Answer:`, so what comes first there counts; what a model writes after that is
not searched for something better.
"""

import re
from collections.abc import Mapping
from fractions import Fraction

LONGEST = 4000  # characters of an answer that are looked at: more than a canvas holds, and few for a regular expression
_NUMBER = re.compile(
    r"(?<![\w.])(?P<sign>-?)(?:(?P<whole>[0-9]+) (?=[0-9]+/))?"
    r"(?P<number>(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]{1,3}(?: [0-9]{3})+(?![0-9/])|[0-9]+|(?=\.[0-9]))"
    r"(?:\.[0-9]+)?(?:/[0-9]+)?)"
)
_SCALED = re.compile(r"e[0-9]|[kKM]\b|\s*(?:hundred|thousand|million|billion|trillion)\b")
_CALCULATION = re.compile(r"[-+*/×÷·]\s*[0-9(]|[0-9)]\s*\^|[0-9]\s*x\s*[0-9]")
_ASIDE = re.compile(r"(?<=[0-9])\s+\([^()]*\)")
_PHRASE = re.compile(r"\banswer(?: is|:)|\bvalue of [^.]{1,40}? is\b", re.IGNORECASE)
_REMARK = re.compile(r"\s+\([^()]*(?:=|(?<!\\)\b[A-Za-z]{4})[^()]*\)")
_EMPHASIS = re.compile(
    r"(?<![\w)\]}\s*])\*+|\*+(?![\w(\[{\s*\\-])"  # not between two operands
    r"|(?<=\s)\*\*(?=[^\s*])|(?<=[^\s*])\*\*(?=\s)|`"  # at one side of a word
)
_GOES_ON = r"(?!(?i:and|or|is|because|since|but)\b)"
_NO_NAME = rf"(?!\. {_GOES_ON}[a-z])(?!(?<=A) {_GOES_ON}[A-Za-z])"
"""Behind a letter that is not short for a name (`E. coli`) and no article (`A dog`)."""
_MARKS = str.maketrans({"$": " ", "\N{MINUS SIGN}": "-", "£": " ", "€": " "})
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
    (r"\times", "*"),
    (r"\cdot", "*"),
)
_FRACTION = re.compile(r"([0-9]?)\s*\\[dt]?frac\{([0-9]+)\}\{([0-9]+)\}")


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
    """What follows the last `answer is`, `answer:` or `value of ... is`; the whole text without one."""
    *_, last = (0, *(found.end() for found in _PHRASE.finditer(text)))
    return text[last:]


def without_emphasis(text: str) -> str:
    """The text without Markdown's backticks and asterisks, but for those that multiply."""
    return _EMPHASIS.sub("", text)


def without_remarks(text: str) -> str:
    """The text without what stands in parentheses behind a number and has an equals sign or a word: `(= 6*7)`."""
    first = re.search("[0-9]", text)
    return text if first is None else text[: first.end()] + _REMARK.sub("", text[first.end() :])


def stated_line(text: str) -> str:
    """The first line that holds something, or the last box, without emphasis."""
    text = text[:LONGEST]
    return without_emphasis(boxed(text) or next((line for line in text.splitlines() if line.strip()), ""))


def number_in(text: str) -> Fraction | None:
    """The number that an answer gives, behind `answer is`: the first one of the line, or of the last side of its equals
    signs that is no calculation. None for a calculation alone, and for a number that goes on as `5 million` does.

    Thousands may have commas or spaces; currencies, units and percent signs are left out.
    """
    sides = _ASIDE.sub("", without_remarks(behind_phrase(_plain(text)))).split("=")
    found = [first for side in sides if (first := _NUMBER.search(side)) and not _is_calculation(side)]
    if not found or _SCALED.match(found[-1].string, found[-1].end()):
        return None
    sign, whole, number = found[-1].group("sign", "whole", "number")
    try:
        value = Fraction(whole or 0) + Fraction(number.replace(",", "").replace(" ", ""))
    except ZeroDivisionError:
        return None
    return -value if sign else value


def letter_in(text: str, choices: Mapping[str, str]) -> str | None:
    """The one letter that an answer chooses: `A`, `(a)`, `A. and its text`, `The answer is A`.

    None where it names two, or none, or begins with the text of a choice. `choices` are the texts by their letters.
    """
    letters = "".join(choices)
    line = re.sub(rf"(?<=[{letters})]),? not \(?[{letters}]\)?(?!\w)", "", _plain(text))
    if any(len(choice) > 1 and _begins(line, choice) for choice in choices.values()):
        return None
    tails = [line, *(line[phrase.end() :] for phrase in _PHRASE.finditer(line))]
    named = set()
    for tail in tails:
        opening = re.match(rf"\W*([{letters}{letters.lower()}])(?:[).:\]]|\s*$|\s+-)", tail)
        if opening is None:
            continue
        letter, rest = opening[1].upper(), tail[opening.end() :]
        if _begins(rest, choices[letter]):
            return letter
        if re.match(rf"[\W_]*(?:(?:and|or)\b\W*)?\(?[{letters}](?:[).:,]|\s*$|\s+(?:and|or)\b)", rest):
            return None
        if re.match(_NO_NAME, tail[opening.end(1) :]) or rest.split()[0] in choices[letter].split():
            named.add(letter)
    named = named or set(re.findall(rf"(?<![\w'])(?<!not )([{letters}])(?![\w']){_NO_NAME}", tails[-1]))
    return named.pop() if len(named) == 1 else None


def _begins(line: str, choice: str) -> bool:
    """Whether a line goes on with the text of a choice, and not with `and` or `or` behind it."""
    text = " ".join(_plain(choice).split()).rstrip(".").casefold()
    rest = " ".join(line.split()).lstrip(" :-").casefold()
    return bool(text) and rest.startswith(text) and not re.match(r"\w| (?:and|or)\b", rest[len(text) :])


def _is_calculation(side: str) -> bool:
    return _CALCULATION.search(_NUMBER.sub("0", side)) is not None


def _plain(text: str) -> str:
    """What an answer states, without marks that say nothing."""
    line = re.sub(r"\\text\w*\{([^{}]*)\}", r"\1", stated_line(text))
    line = _FRACTION.sub(
        lambda found: f"{found[1]} {found[2]}/{found[3]}" if found[1] else f"{found[2]}/{found[3]}", line
    )
    for latex, plain in _LATEX:
        line = line.replace(latex, plain)
    return line.translate(_MARKS)
