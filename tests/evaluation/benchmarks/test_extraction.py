"""What an answer says: numbers and letters, however they are dressed, and nothing where it is not clear."""

from fractions import Fraction

import pytest

from tie_core.evaluation.benchmarks.extraction import LONGEST, boxed, letter_in, number_in


@pytest.mark.parametrize(
    ("answer", "number"),
    [
        ("1234", 1234),
        ("1,234", 1234),
        ("1,234,567", 1234567),
        ("1{,}234", 1234),
        ("1234.0", 1234),
        ("0.5", Fraction(1, 2)),
        (".5", Fraction(1, 2)),
        ("1/2", Fraction(1, 2)),
        ("-7", -7),
        ("\N{MINUS SIGN}7", -7),
        ("-$7", -7),
        (r"-\$7", -7),
        ("$1,234", 1234),
        ("US$18", 18),
        (r"\$18", 18),
        ("$18$", 18),
        (r"\(18\)", 18),
        ("18.", 18),
        ("**18**.", 18),
        ("18 dollars", 18),
        ("18 dollars for 3 days", 18),
        ("50%", 50),
        ("18km", 18),
        ("\n\n 18\n\nStep 1: 5 apples", 18),
        ("The answer is 18.", 18),
        ("In 2 days the final answer is: 18", 18),
        ("3 + 4 = 7", 7),
        ("3 + 4 = 7 apples", 7),
        ("x =", None),
        (r"\boxed{18}", 18),
        (r"5 apples, so $\boxed{1,234}$", 1234),
        (r"\boxed{\text{18 dollars}}", 18),
        (r"\boxed{18", 18),
        ("", None),
        (" \n ", None),
        ("none", None),
        ("eighteen", None),
        ("B2", None),
        ("1/0", None),
        ("9" * 1_000_000, 10**LONGEST - 1),
        ("1," * 1_000_000, 1),
        ("x" * 1_000_000 + "1", None),
        ("٣", None),
    ],
)
def test_the_number_of_an_answer(answer, number):
    assert number_in(answer) == number


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("A", "A"),
        ("(A)", "A"),
        ("A)", "A"),
        ("A.", "A"),
        (" B \n", "B"),
        ("b", "B"),
        ("(b)", "B"),
        ("b) Paris", "B"),
        ("**C**", "C"),
        ("[D]", "D"),
        ("A. Vitamin C", "A"),
        ("A: 5", "A"),
        ("A - Paris", "A"),
        ("A\nB\nC", "A"),
        ("The answer is A", "A"),
        ("The answer is (A).", "A"),
        ("the correct answer is: b", "B"),
        ("I think it is C", "C"),
        ("A is correct", "A"),
        ("A because a cell divides", "A"),
        (r"\boxed{A}", "A"),
        (r"$\boxed{\text{B}}$", "B"),
        ("A or B", None),
        ("A, B", None),
        ("A/B", None),
        ("A and B", None),
        ("(A) or (B)", None),
        ("(A), (B)", None),
        ("A) or B)", None),
        ("not A but B", None),
        ("E", None),
        ("a dog", None),
        ("A dog barks", None),
        ("Apple", None),
        ("BC", None),
        ("D'accord", None),
        ("5", None),
        ("x" * 1_000_000 + "A", None),
        ("", None),
        ("\n", None),
    ],
)
def test_the_letter_of_an_answer(answer, letter):
    assert letter_in(answer, "ABCD") == letter


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (r"\boxed{1}", "1"),
        (r"\boxed{1} and \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        (r"\boxed{\frac{1}{2", r"\frac{1}{2"),
        (r"\boxed{}", ""),
        ("1", None),
    ],
)
def test_the_content_of_the_last_box(text, content):
    assert boxed(text) == content
