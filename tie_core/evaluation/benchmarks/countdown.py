"""Countdown: reach a target from three numbers with + - * /, each number used exactly once. Items are made, not read.

The paper evaluates 500 problems (its accuracies are multiples of 0.2 %) and does not publish them; the three-number set
is known as cd3. Ours are drawn from a seed in that form. The prompt is ours too.
"""

import ast
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

from tie_core.evaluation.benchmarks.extraction import stated_line, without_remarks
from tie_core.evaluation.task import Item, Task, paper_options

SEED: Final = 20_260_628
NUM_ITEMS: Final = 500
NUM_NUMBERS: Final = 3
LARGEST: Final = 99  # of the numbers and of targets
SMALLEST_TARGET: Final = 10
LONGEST: Final = 200  # characters of an expression that is parsed: too few to be nested deeply
PROMPT = (
    "Using only the numbers {numbers}, write an arithmetic expression that equals {target}. Use every number exactly"
    " once, and only the operations + - * / and parentheses. First reason briefly. Then give the expression, and"
    ' nothing else, after "Answer:".'
)
_ARITHMETIC: Final[dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]]] = {
    ast.Add: lambda left, right: left + right,
    ast.Sub: lambda left, right: left - right,
    ast.Mult: lambda left, right: left * right,
    ast.Div: lambda left, right: left / right,
}
_SIGNS = str.maketrans(
    {"×": "*", "·": "*", "÷": "/", "−": "-", "–": "-", "[": "(", "]": ")", "{": "(", "}": ")", "$": " "}
)
_LATEX = (
    (r"\times", "*"),
    (r"\cdot", "*"),
    (r"\div", "/"),
    (r"\left", ""),
    (r"\right", ""),
    (r"\(", ""),
    (r"\)", ""),
    (r"\[", ""),
    (r"\]", ""),
)


@dataclass(frozen=True, slots=True)
class Puzzle:
    numbers: tuple[int, ...]
    target: int


def make_puzzles(seed: int = SEED, n: int = NUM_ITEMS, num_numbers: int = NUM_NUMBERS) -> tuple[Puzzle, ...]:
    """The first `n` different puzzles of a seed. Each has a solution whose steps are positive whole numbers."""
    rng = random.Random(seed)
    puzzles: dict[Puzzle, None] = {}
    while len(puzzles) < n:
        numbers = tuple(rng.randint(1, LARGEST) for _ in range(num_numbers))
        target = _combine(rng, numbers)
        if target is not None and SMALLEST_TARGET <= target <= LARGEST and target not in numbers:
            puzzles[Puzzle(numbers, target)] = None
    return tuple(puzzles)


def load(_: Path) -> tuple[Item, ...]:
    return tuple(_item(number, puzzle) for number, puzzle in enumerate(make_puzzles()))


def grade(item: Item, answer: str) -> bool:
    """Whether the first line (or the last box) is an expression of exactly the given numbers that equals the target.

    Of the sides of equals signs the first one with an operation is read. Nothing is evaluated but
    the four operations on whole numbers.
    """
    assert isinstance(item.reference, Puzzle)
    try:
        tree = ast.parse(_expression(answer), mode="eval").body
        used: list[int] = []
        value = _value(tree, used)
    except (ValueError, SyntaxError, ZeroDivisionError):
        return False
    return value == item.reference.target and sorted(used) == sorted(item.reference.numbers)


def _item(number: int, puzzle: Puzzle) -> Item:
    numbers = ", ".join(map(str, puzzle.numbers))
    return Item(f"countdown/{number}", PROMPT.format(numbers=numbers, target=puzzle.target), puzzle)


def _combine(rng: random.Random, numbers: tuple[int, ...]) -> int | None:
    """The value of a random expression of all numbers; None where a step is no positive whole number."""
    values = list(numbers)
    while len(values) > 1:
        left, right = (values.pop(rng.randrange(len(values))) for _ in range(2))
        operation = rng.choice((ast.Add, ast.Sub, ast.Mult, ast.Div))
        value = _ARITHMETIC[operation](Fraction(left), Fraction(right))
        if value.denominator != 1 or value <= 0:
            return None
        values.append(int(value))
    return values[0]


def _expression(answer: str) -> str:
    """The text that should be an expression, in Python's signs.

    Raises:
        ValueError: something in it that no expression has, or more of it than any needs.
    """
    line = stated_line(answer)
    for latex, plain in _LATEX:
        line = line.replace(latex, plain)
    sides = without_remarks(line.translate(_SIGNS).rpartition(":")[2]).split("=")
    text = next((side for side in sides if re.search(r"[-+*/x]", side)), sides[0]).strip().removesuffix(".")
    text = re.sub(r"(?<=[0-9) ])x(?=[0-9( ])", "*", text)
    if len(text) > LONGEST or not re.fullmatch(r"[0-9+\-*/() ]+", text):
        raise ValueError
    return text.strip()


def _value(node: ast.expr, used: list[int]) -> Fraction:
    """The value of an expression; the numbers in it are added to `used`.

    Raises:
        ValueError: another operation than the four.
        ZeroDivisionError: a division by zero.
    """
    match node:
        case ast.Constant(value=int(number)):
            used.append(number)
            return Fraction(number)
        case ast.UnaryOp(op=ast.USub(), operand=operand):  # a sign in front reaches nothing that a difference does not
            return -_value(operand, used)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            return _ARITHMETIC[type(op)](_value(left, used), _value(right, used))
    raise ValueError


TASK = Task("countdown", "Countdown", paper_options("planning"), load, grade)
