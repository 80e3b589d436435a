"""MATH500: LaTeX answers found in what models write, and compared by meaning in a child that may hang or die."""

import importlib.util
import sys

import pytest

from tests.evaluation.benchmarks.published import BYTE_ORDER_MARK, write_lines
from tie_core.errors import TaskError
from tie_core.evaluation.benchmarks import equivalence
from tie_core.evaluation.benchmarks.equivalence import Verifier
from tie_core.evaluation.benchmarks.math500 import TASK, Expression, final_of
from tie_core.evaluation.task import Item, check_ready

RECORD = {
    "problem": "What is half of $\\frac{1}{2}$? – says Zoë.",
    "solution": "It is $\\boxed{\\frac{1}{4}}$.",
    "answer": "\\frac{1}{4}",
    "subject": "Prealgebra",
    "level": 1,
    "unique_id": "test/prealgebra/1.json",
}


def item(latex):
    return Item("math500/a", "", Expression(latex))


@pytest.fixture
def own_verifier():
    one = Verifier(pair_seconds=30)
    yield one
    one.close()


def test_every_line_becomes_an_item_of_its_subject(tmp_path):
    write_lines(tmp_path / "math500" / "test.jsonl", [RECORD], end="\r\n", mark=BYTE_ORDER_MARK)

    (read,) = TASK.load(tmp_path)

    assert (read.id, read.group) == ("math500/prealgebra/1", "Prealgebra")
    assert RECORD["problem"] in read.prompt
    assert TASK.grade(read, "0.25")
    assert not TASK.grade(read, "0.5")


@pytest.mark.parametrize("field", ["problem", "answer", "subject", "unique_id"])
def test_a_line_without_one_of_its_fields_is_told(tmp_path, field):
    write_lines(tmp_path / "test.jsonl", [RECORD, {name: value for name, value in RECORD.items() if name != field}])

    with pytest.raises(TaskError, match=rf"test\.jsonl, line 2: the field '{field}' is not text"):
        TASK.load(tmp_path)


def test_a_missing_file_is_told_with_its_source(tmp_path):
    with pytest.raises(TaskError, match=r"math500/test\.jsonl.*HuggingFaceH4/MATH-500"):
        TASK.load(tmp_path)


@pytest.mark.parametrize(
    ("answer", "final"),
    [
        ("42", "42"),
        (" 42.\n\nSince 6 * 7", "42"),
        ("42\nSince", "42"),
        ("$42$", "42"),
        ("$$42$$", "42"),
        (r"\(42\)", "42"),
        (r"\[42\]", "42"),
        ("The answer is $x = 42$.", "x = 42"),
        ("The answer is 42.", "42"),
        ("Therefore the final answer is: 42", "42"),
        ("$1$ and $2$", "1 and 2"),
        ("For $n=3$, the answer is 7", "7"),
        ("For $n=3$, the answer is $7$.", "7"),
        ("5 (since $2$ is prime)", "5"),
        ("$42$ (since $6*7 = 42$)", "42"),
        ("So $x = 5$.", "x = 5"),
        ("$5$ apples for 3", "5"),
        ("The value of $x$ is 5", "5"),
        ("**5**", "5"),
        ("The answer is **5**.", "5"),
        ("`5`", "5"),
        ("x \\in (-\\infty, 2)", "x \\in (-\\infty, 2)"),
        (r"\$18.90", r"\$18.90"),
        (r"$\$18.90$", r"\$18.90"),
        (r"So it is $\boxed{\frac{1}{2}}$, not 3.", r"\frac{1}{2}"),
        (r"\boxed{42", "42"),
        ("\\begin{pmatrix} 1 \\\\\n2 \\end{pmatrix}\n\nDone", "\\begin{pmatrix} 1 \\\\\n2 \\end{pmatrix}"),
        ("", ""),
        ("\n \n", ""),
        ("$", "$"),
    ],
)
def test_the_formula_of_an_answer(answer, final):
    assert final_of(answer) == final


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        ("42", "42"),
        ("42", "42.0"),
        ("42", "x = 42"),
        ("42", "42 apples"),
        ("42", r"42 = 6 \cdot 7"),
        ("42", "x^2 + 2 = 42"),
        ("42", r"42^\circ"),
        ("10,080", "10080"),
        (r"\frac{14}{3}", "14/3"),
        (r"\frac{14}{3}", r"\dfrac{28}{6}"),
        (r"\frac{14}{3}", r"$\boxed{\tfrac{14}{3}}$"),
        (r"\left( 3, \frac{\pi}{2} \right)", r"(3, \pi/2)"),
        (r"\left( 3, \frac{\pi}{2} \right)", "(3, pi/2)"),
        ("p - q", "-q + p"),
        (r"\text{Evelyn}", "Evelyn"),
        (r"\text{even}", r"\text{even}"),
        (r"\text{6:00 p.m.}", r"$\text{6:00 p.m.}$"),
        (r"\text{two  odd, 3 even}", "two odd,\\ 3 even"),
        (r"\text{(C)}", "(C)"),
        (r"x \in [-2,7]", "[-2, 7]"),
        (r"90^\circ", "90"),
        (r"\$18.90", "18.9"),
        (r"50\%", "50"),
        (r"5.4 \text{ cents}", "5.4"),
        (r"3\sqrt{13}", r"\sqrt{117}"),
        ("6 - 5i", "-5i + 6"),
        ("1,-2", "-2, 1"),
        ("x^2+2x+1", "(x+1)^2"),
        (r"\begin{pmatrix} -1 \\ 2 \end{pmatrix}", "\\begin{pmatrix}\n-1 \\\\\n2\n\\end{pmatrix}"),
    ],
)
def test_an_answer_that_means_the_same_is_right(reference, answer):
    assert TASK.grade(item(reference), answer)


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        ("42", "43"),
        ("42", "-42"),
        ("42", "4 2"),
        ("42", "4  2"),
        ("42", "42 or 43"),
        ("2220", r"24^2+2\cdot 24\cdot 12+12^2+924"),
        ("720", "6!"),
        ("4", r"\sqrt{16}"),
        ("42", "50 - 8"),
        ("42", r"6 \times 7"),
        ("2", "5 (since $2$ is prime)"),
        ("3", "For $n=3$, the answer is 7"),
        ("42", ""),
        ("42", "I do not know"),
        ("42", r"\frac{"),
        ("42", "{" * 500),
        ("42", "9" * 100_000),
        ("42", "x" * 100_000 + "42"),
        ("42", r"\(" * 100_000),
        ("42", "$" * 100_000),
        ("42", "\x00\ud800"),
        ("42", "\n\n"),
        (r"\frac{1}{3}", "0.33"),
        (r"\text{Evelyn}", "Angela"),
        ("(3, 4)", "(4, 3)"),
        (r"x \in [-2,7]", "(-2, 7)"),
        ("1,-2", "1"),
        (r"\begin{pmatrix} -1 \\ 2 \end{pmatrix}", r"\begin{pmatrix} 2 \\ -1 \end{pmatrix}"),
    ],
)
def test_anything_else_is_wrong_and_never_an_exception(reference, answer):
    assert not TASK.grade(item(reference), answer)


def test_what_takes_too_long_is_wrong_and_the_next_answer_is_judged(own_verifier):
    own_verifier._pair_seconds = 0.2

    assert not own_verifier.is_equal("42", "9^{9^{9}}")
    own_verifier._pair_seconds = 30
    assert own_verifier.is_equal("42", "84/2")


def test_a_child_that_has_died_is_replaced(own_verifier):
    assert own_verifier.is_equal("42", "84/2")
    first = own_verifier._child
    first.kill()
    first.wait()

    assert not own_verifier.is_equal("42", "84/2")  # nobody has judged it
    assert own_verifier.is_equal("42", "84/2")
    assert own_verifier._child is not first


def test_without_the_library_the_task_is_refused_before_any_request(monkeypatch):
    check_ready(TASK)
    monkeypatch.setattr(
        equivalence, "find_spec", lambda name: None if name == "math_verify" else importlib.util.find_spec
    )

    with pytest.raises(TaskError, match=r"pip install -e '\.\[eval\]'"):
        check_ready(TASK)
    with pytest.raises(TaskError, match="math-verify"):
        Verifier().is_equal("1", "2")


def test_a_library_that_does_not_start_is_told(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")

    with pytest.raises(TaskError, match="math-verify does not start"):
        Verifier().is_equal("1", "2")
