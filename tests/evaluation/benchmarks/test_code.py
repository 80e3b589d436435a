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
        ("```", ""),
        ("", ""),
    ],
)
def test_the_code_ends_at_the_closing_fence(answer, code):
    assert code_of(answer) == code


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
