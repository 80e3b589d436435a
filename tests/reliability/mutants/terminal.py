"""Seeded bugs of the terminal: what is drawn, kept, told and left behind."""

from tests.reliability.mutant import Mutant

IN_A_TERMINAL = "tests/service/test_in_a_terminal.py::"
CHAT = "tests/service/test_chat.py::"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "a receiver's canvas is told as it was before the relay",
        "tie_core/narrator.py",
        "(relay, before[relay.member], ended.canvases[relay.member])",
        "(relay, before[relay.member], before[relay.member])",
        ("tests/service/test_watch.py::test_before_every_step_a_canvas_has_as_many_masks_as_the_step_says",),
    ),
    Mutant(
        "who wrote what is lost behind a half character",
        "service/watch.py",
        "if found >= 0:",
        "if found < 0:",
        ("tests/service/test_watch.py::test_writers_are_known_behind_a_character_that_others_cut_in_two",),
    ),
    Mutant(
        "a run is watched on the first screen",
        "service/display.py",
        "console=console, screen=True, ",
        "console=console, ",
        (IN_A_TERMINAL + "test_a_run_is_watched_without_flicker_and_its_last_frame_stays",),
    ),
    Mutant(
        "SIGTERM leaves the terminal without its cursor",
        "service/display.py",
        "with _orderly_end(), Live(",
        "with Live(",
        (IN_A_TERMINAL + "test_what_is_broken_off_leaves_nothing_behind",),
    ),
    Mutant(
        "rows off the screen are drawn",
        "service/screen.py",
        "if len(above) <= most:",
        "if most:",
        ("tests/service/test_watch.py::test_a_frame_costs_what_is_seen_of_the_canvases",),
    ),
    Mutant(
        "a reset forgets nothing",
        "service/commands/chat.py",
        "conversation.turns.clear()",
        "pass",
        (CHAT + "test_reset_forgets_and_exit_leaves",),
    ),
    Mutant(
        "ctrl-C in an answer leaves the chat",
        "service/commands/chat.py",
        'console.print(Text(LEFT, "dim"))',
        "raise",
        (CHAT + "test_ctrl_c_leaves_the_answer_and_not_the_program",),
    ),
    Mutant(
        "the settings are told with a password",
        "service/effective.py",
        "HIDDEN + at + host if at else host",
        "url.netloc",
        ("tests/service/test_portrait.py::test_secrets_are_not_told",),
    ),
    Mutant(
        "a relay that loses text counts as exact",
        "service/pairs.py",
        'return "changed"',
        'return "exact"',
        ("tests/service/test_doctor.py::test_text_that_does_not_arrive_is_counted",),
    ),
    Mutant(
        "a member that is named already is offered again",
        "service/parameters.py",
        " and name not in given",
        "",
        ("tests/service/test_completion.py::test_bash_completes_the_models_of_the_configuration",),
    ),
)
