"""Code in answers: found behind the fence that the server wrote, and indented where it goes on inside of a function."""

import pytest

from tie_core.evaluation.benchmarks.code import as_body, code_of, defines


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("x = 1\n```", "x = 1\n"),
        ("x = 1\n```\nThis works, since\n```python\ny = 2\n```", "x = 1\n"),
        ("x = 1", "x = 1"),
        ("```python\nx = 1\n```", "x = 1\n"),
        ("\n```py\nx = 1\n```", "x = 1\n"),
        ("```\nx = 1\n```", "x = 1\n"),
        (
            'def f():\n    """\n    ```\n    f()\n    ```\n    """\n```',
            'def f():\n    """\n    ```\n    f()\n    ```\n    """\n',
        ),
        ("x = '```'\n```", "x = '```'\n"),
        ("def f(x):\n    return x```", "def f(x):\n    return x"),
        ("def f(x):\n    return x ``` \nIt works.", "def f(x):\n    return x "),
        ("return x```", "return x"),
        ("for a in b:\n        f(a)\n    return 1```", "for a in b:\n        f(a)\n    return 1"),
        ("def f(x):\n    return x\n    ```", "def f(x):\n    return x\n"),
        ("def f(x):\n    return x\n    ```\nIt works.", "def f(x):\n    return x\n"),
        ("Here is the function:\n```python\nx = 1\n```\nIt works.", "x = 1\n"),
        ("Here is it:\n\n  ```python\nx = 1", "x = 1"),
        ("def f(:\n```\nThat was wrong, so again:\n```python\nx = 1\n```", "x = 1\n"),
        ("def f(x):\n    return x\n\nThis works, since it does.", "def f(x):\n    return x\n\n"),
        ("return x\n\nThis works, since it does.\nIt does.", "return x\n\n"),
        ("```", ""),
        ("", ""),
    ],
)
def test_the_code_ends_at_the_closing_fence(answer, code):
    assert code_of(answer) == code


@pytest.mark.parametrize(
    "answer",
    [
        "def f(:\n    return 1\n",
        "def f(x):\n    return 1\n  else\n",
        "def f(x):\n    return 1\n    This works.\n",
        "x = '\\d'\ny = (",
        "x = 1\x00",
        "x = '\ud800' +",
        "(" * 50_000,
        "-" * 50_000,
        "a." * 50_000,
        "f(" * 20_000 + ")" * 20_000,
    ],
)
def test_what_is_not_python_to_its_end_stays_as_it_is(answer):
    assert code_of(answer)[:5] == answer[:5]
    assert code_of(f"{answer}\n```")[:5] == answer[:5]


def test_fences_without_end_are_soon_read():
    assert code_of("x y\n```\n" * 10_000) == "x y\n"


def test_an_escape_that_python_warns_of_is_no_warning_here(recwarn):
    assert code_of("x = '\\d'\n```") == "x = '\\d'\n"
    assert not recwarn


@pytest.mark.parametrize(
    ("code", "is_defined"),
    [
        ("def f(x):\n    return x", True),
        ("import os\n\nasync def f(): ...", True),
        ("def ff(x): ...", False),
        ("    def f(x): ...", False),
        ("f = 1", False),
        ("", False),
    ],
)
def test_a_function_is_defined_at_the_first_column(code, is_defined):
    assert defines(code, "f") == is_defined


@pytest.mark.parametrize(
    ("code", "body"),
    [
        ("return 1", "    return 1"),
        ("for a in b:\n        f(a)\n    return 1", "    for a in b:\n        f(a)\n    return 1"),
        ("    return 1", "    return 1"),
        ("\treturn 1", "\treturn 1"),
        ("", ""),
    ],
)
def test_a_body_gets_back_its_first_indentation(code, body):
    assert as_body(code) == body
