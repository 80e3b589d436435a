"""What an answer says: numbers and letters, however they are dressed, and nothing where it is not clear."""

from fractions import Fraction

import pytest

from tie_core.evaluation.benchmarks.extraction import LONGEST, boxed, letter_in, number_in, without_emphasis


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
        (r"\frac{3}{4}", Fraction(3, 4)),
        (r"-\dfrac{3}{4}", Fraction(-3, 4)),
        ("3 1/2", Fraction(7, 2)),
        ("-3 1/2 hours", Fraction(-7, 2)),
        (r"3\frac{1}{2}", Fraction(7, 2)),
        ("18 = 6*3", 18),
        ("18 dollars = 6 dollars * 3", 18),
        ("42 (= 6*7)", 42),
        ("x = 5 (since 2x = 10)", 5),
        ("20 + 5 = 25 = 5^2", 25),
        ("7 (3+4)", 7),
        ("5 m^2", 5),
        ("about (18 dollars)", 18),
        ("3*400", None),
        ("2^10", None),
        (r"3 \times 400", None),
        ("3 + 4", None),
        ("1e3", None),
        ("1 200", 1200),
        ("1 200 300 apples", 1200300),
        ("5 million", None),
        ("$5k", None),
        ("5 km", 5),
        ("The value of the 3 pens is 18", 18),
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
        ("not A but B", "B"),
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
    assert letter_in(answer, dict.fromkeys("ABCD", "")) == letter


@pytest.mark.parametrize(
    ("answer", "choices", "letter"),
    [
        ("B. C", "A|C|B|D", "B"),
        ("A. A", "A|B|AB|O", "A"),
        ("D) A", "B|C|O|A", "D"),
        ("A. A or B", "A|B|AB|O", None),
        ("B. A, C, and D", "A|A, C, and D|C|D", "B"),
        ("B. A, C, and D.", "A|A, C, and D|C|D", "B"),
        ("D. B. subtilis", "yeast|algae|moss|B. subtilis", "D"),
        ("B. subtilis", "yeast|algae|moss|B. subtilis", None),
        ("A. vitamin C", "Vitamin C|iron", "A"),
        ("A. $5", "$5|$6", "A"),
        ("The answer is B, not A", "ice|iron", "B"),
        ("(B), not (A)", "ice|iron", "B"),
        ("not A", "ice|iron", None),
        ("Answer: C. The answer is in the cell", "ice|iron|the cell", "C"),
        ("C. The answer is in the cell", "ice|iron|the nucleus", "C"),
        ("The answer is not A. The answer is B", "ice|iron", "B"),
        ("A. No, the answer is B.", "ice|iron", None),
        ("E. coli", "yeast|algae|moss|E. coli|mould", None),
        ("E. coli", "yeast|algae|moss|fern|mould", None),
        ("B. because ice melts", "iron|ice", "B"),
        ("B. melting", "rain|the melting of ice", "B"),
        ("the C. elegans", "yeast|algae|worm", None),
        ("A Great Dane", "dog|cat", None),
        ("A Because it barks", "dog|cat", "A"),
    ],
)
def test_the_text_of_a_choice_is_no_letter_and_may_follow_its_own(answer, choices, letter):
    assert letter_in(answer, dict(zip("ABCDE", choices.split("|"), strict=False))) == letter


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("**5**", "5"),
        ("is **5**.", "is 5."),
        ("**5** apples", "5 apples"),
        ("`5`", "5"),
        ("**3*5+7**", "3*5+7"),
        ("3 * 5", "3 * 5"),
        ("3* 5", "3* 5"),
        ("3*-5", "3*-5"),
        ("{3}*5", "{3}*5"),
        ("3 ** 5", "3 ** 5"),
        ("3**5", "3**5"),
    ],
)
def test_emphasis_is_left_out_and_multiplication_is_not(line, text):
    assert without_emphasis(line) == text


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
