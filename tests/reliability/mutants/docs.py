"""Seeded bugs of the documents: an example that fails, a reference that is behind, a link that leads nowhere."""

from tests.reliability.mutant import Mutant

EXAMPLES = "tests/docs/test_examples.py::"
REFERENCES = "tests/docs/test_references.py::"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "the README's curl asks for a route that there is not",
        "README.md",
        "curl http://127.0.0.1:8000/v1/chat/completions",
        "curl http://127.0.0.1:8000/v1/chat/completion",
        (EXAMPLES + "test_the_commands_work",),
    ),
    Mutant(
        "the quick start's program imports a name that is gone",
        "docs/index.md",
        "from tie_core import Ensemble, load_member, zoo",
        "from tie_core import Ensemble, load_members, zoo",
        (EXAMPLES + "test_the_programs_work",),
    ),
    Mutant(
        "a page names an option that a command has not",
        "docs/evaluation.md",
        "`--regrade` judges",
        "`tie eval --judge` judges",
        (EXAMPLES + "test_commands_in_running_text_exist_with_their_options",),
    ),
    Mutant(
        "a field of a request has a default that the reference does not know",
        "tie_core/options.py",
        "    early_commit_margin: float = 0.9",
        "    early_commit_margin: float = 0.8",
        (REFERENCES + "test_the_page_is_up_to_date",),
    ),
    Mutant(
        "the site takes any anchor",
        "mkdocs.yml",
        "anchors: warn",
        "anchors: ignore",
        ("tests/docs/test_site.py::test_links_that_lead_nowhere_end_the_build",),
    ),
    Mutant(
        "a picture shows no switches",
        "docs/draw_run.py",
        '" (a switch)" if event.switched else ""',
        '""',
        ("tests/docs/test_pictures.py::test_the_pictures_are_those_of_the_recorded_run",),
    ),
)
