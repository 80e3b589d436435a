"""Seeded bugs of the playground: its reducer, its connection, what it lets into the page."""

from tests.reliability.mutant import Mutant

RUNS = "tests/service/page/test_runs.py::"
FILES = "tests/service/page/test_files.py::"
MODULES = "tests/service/page/test_modules.py::"
SAME = MODULES + "test_the_page_and_the_terminal_see_the_same_canvases"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "a step writes into the state that it began with",
        "service/page/canvas.js",
        "const reasoning = [...canvas.reasoning.cells];",
        "const reasoning = canvas.reasoning.cells;",
        (MODULES + "test_reducing_changes_no_state_and_no_event",),
    ),
    Mutant(
        "a relay makes the leader the writer of everything",
        "service/page/canvas.js",
        "old ? old.writer : writer",
        "writer",
        (SAME,),
    ),
    Mutant(
        "blocks are counted as before the relay",
        "service/page/canvas.js",
        'result === "transcoded"',
        "false",
        (SAME,),
    ),
    Mutant(
        "a member's letter goes by who else is asked",
        "service/page/reduce.js",
        "? told : [...told.keys()]",
        "? [...told.keys()] : told",
        (RUNS + "test_a_member_alone_keeps_its_letter_and_its_colour",),
    ),
    Mutant(
        "scrubbing stops one event short",
        "service/page/log.js",
        "checkpoint * CHECKPOINT_EVERY, count)",
        "checkpoint * CHECKPOINT_EVERY, count - 1)",
        (MODULES + "test_any_step_of_a_log_is_what_reducing_to_it_gives",),
    ),
    Mutant(
        "a refusal takes the place of the run before",
        "service/page/main.js",
        "this.#isAsking = true;\n    this.#redraw();",
        "this.#load(log);",
        (RUNS + "test_a_run_stays_until_the_first_event_of_the_next_one",),
    ),
    Mutant(
        "what follows the last relay is a round",
        "service/page/player.js",
        "momentText(state, this.#log.last.completed)",
        "momentText(state, state.completed)",
        (RUNS + "test_what_follows_the_last_relay_is_no_round",),
    ),
    Mutant(
        "an empty prompt is sent",
        "service/page/main.js",
        "if (!this.#form.check()) return;",
        "",
        (RUNS + "test_without_a_prompt_the_page_says_so_and_asks_nobody",),
    ),
    Mutant(
        "a file that is being read hides the run that was begun meanwhile",
        "service/page/main.js",
        'if (this.#session) throw new Error("a run was begun while it was read");',
        "",
        (FILES + "test_a_file_that_is_being_read_does_not_hide_a_run",),
    ),
    Mutant(
        "a file's prompt takes the place of one that somebody wrote",
        "service/page/form.js",
        "isOnesOwn || ",
        "",
        (FILES + "test_a_file_leaves_a_prompt_that_somebody_wrote",),
    ),
    Mutant(
        "a problem stands between the members",
        "service/page/form.js",
        'field.closest("[data-part=members]") ?? ',
        "",
        (RUNS + "test_without_a_member_the_page_says_so_below_them_and_asks_nobody",),
    ),
    Mutant(
        "the defaults of another ensemble stay on the page",
        "service/page/form.js",
        '["ensemble", ...Object.values(DECIDING)]',
        "Object.values(DECIDING)",
        (RUNS + "test_defaults_are_those_of_the_chosen_ensemble_task_and_policy",),
    ),
    Mutant(
        "the defaults of other lengths stay on the page",
        "service/page/form.js",
        'policy: "unmasking.policy", ...LENGTHS',
        'policy: "unmasking.policy"',
        (RUNS + "test_defaults_are_those_of_the_lengths_that_are_named",),
    ),
    Mutant(
        "a request that is sent again is another one",
        "service/page/session.js",
        '"idempotency-key": this.#key',
        '"idempotency-key": String(Math.random())',
        (RUNS + "test_a_request_whose_first_event_never_came_is_sent_again_and_computed_once",),
    ),
    Mutant(
        "control characters in a member's name reach the page",
        "service/page/words.js",
        "`${letterOf(state, name)} ${visible(name)}`",
        "`${letterOf(state, name)} ${name}`",
        (RUNS + "test_hostile_text_is_inert",),
    ),
    Mutant(
        "what was left alone is sent",
        "service/page/form.js",
        "if (chosen.length < members.length) body.models",
        "body.models",
        (RUNS + "test_what_is_not_chosen_is_not_asked",),
    ),
    Mutant(
        "the playground may hold inline styles",
        "service/page/__init__.py",
        "style-src 'self';",
        "style-src 'self' 'unsafe-inline';",
        ("tests/service/test_ops.py::test_the_playground_is_made_of_its_own_files_alone",),
    ),
)
