"""The playground in a real browser: a run, its replay, its errors, and what hostile text comes to."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Route

from service.keys import add_key
from service.settings import AuthSettings, EnsembleSettings, LimitSettings
from tests.service.fakes import NAMES, OPTIONS, FakeLoader, Faults, fake_settings
from tests.service.page.conftest import Open
from tests.service.page.dropping import dropping
from tests.service.page.playground import Playground
from tests.service.served import PROMPT, Served, serving, wait_until

HOSTILE = (
    '<img src=x onerror="window.hacked = 1"><script>window.hacked = 1</script> <|mdm_mask|><|endoftext|>'
    " {{7*7}} \u202e\u0007 ' \" `"
)

RECORDED = Path(__file__).parents[3] / "docs" / "pictures" / "run.ndjson"
DEFAULT_SHOWN = """(param) => {
    const field = document.querySelector(`[data-param="${param}"]`);
    return field.options ? field.options[0].textContent : field.placeholder;
}"""


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(fake_settings(), FakeLoader()) as served:
        yield served


def result_of(served: Served, playground: Playground) -> dict[str, Any]:
    """What the server says that the page's last run came to."""
    (run_id,) = playground.page.evaluate(
        "() => [...document.querySelectorAll('[data-run]')].map((it) => it.dataset.run)"
    )
    result: dict[str, Any] = served.client.get(f"/v1/tie/requests/{run_id}").json()["result"]
    return result


def test_a_run_is_shown_to_its_answer(served: Served, open_page: Open) -> None:
    playground = open_page(served.url).run(PROMPT).finished()

    result = result_of(served, playground)
    tie = result["tie"]
    assert playground.text("#answer output") == result["answer"]
    assert f"{tie['final_model']} gives the answer" in playground.text("#answer")
    assert len(playground.texts("#rounds tbody tr")) == len(playground.texts("#strip li")) == tie["rounds"]
    assert len(playground.texts("#strip .switched")) == tie["switches"]
    leaders = [row.split("⇒")[0].split() for row in playground.texts("#rounds tbody td:last-child")]
    assert {name: sum(name in leader for leader in leaders) for name in NAMES} == {
        **dict.fromkeys(NAMES, 0),
        **tie["wins"],
    }
    final = playground.canvases()[NAMES.index(tie["final_model"])]
    assert final.replace(" ", "").replace("∎", "").endswith(result["answer"])
    assert playground.page.locator(".masked:not(.sample)").count() == 0
    assert f" Answer:{result['answer']}" in playground.texts(".member .spoken")[NAMES.index(tie["final_model"])]


def test_a_run_shows_masks_guesses_and_tentative_tokens_on_its_way(open_page: Open) -> None:
    faults = Faults()
    with serving(fake_settings(), FakeLoader(faults)) as served:
        faults.seconds = 0.05
        playground = open_page(served.url).run(PROMPT)
        playground.page.wait_for_selector("#strip li")
        playground.wait_for("document.querySelector('.tentative:not(.sample)') !== null")

        assert playground.page.locator(".masked.active:not(.sample)").count() > 0
        assert playground.page.locator(".kept:not(.sample)").count() > 0
        assert all(guess for guess in playground.texts(".guess"))
        playground.wait_for("document.querySelector('#announcements').textContent.startsWith('round')")
        faults.seconds = 0.0
        playground.finished()
        playground.wait_for("document.querySelector('#announcements').textContent.startsWith('The answer is')")


def test_a_saved_run_is_shown_again_without_a_server(served: Served, open_page: Open, tmp_path: Path) -> None:
    first = open_page(served.url).run(PROMPT).finished()
    saved = first.save(tmp_path / "run.ndjson")
    shown = (first.text("#answer output"), first.canvases(), first.texts("#rounds tr"))
    again = open_page(served.url).ready()
    again.page.context.set_offline(True)
    num_requests = len(again.requests)

    again.load(saved)
    again.finished()

    assert (again.text("#answer output"), again.canvases(), again.texts("#rounds tr")) == shown
    assert len(again.requests) == num_requests
    request, *events = [json.loads(line) for line in saved.read_text(encoding="utf-8").splitlines()]
    assert request["body"]["messages"] == [{"role": "user", "content": PROMPT}]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    again.save(tmp_path / "again.ndjson")
    assert (tmp_path / "again.ndjson").read_text() == saved.read_text()


def test_a_run_names_the_prompt_that_it_answers(served: Served, open_page: Open, tmp_path: Path) -> None:
    """Whatever stands in the prompt's field by now; where nobody told it, that is said."""
    playground = open_page(served.url).run(PROMPT).finished()
    saved = playground.save(tmp_path / "run.ndjson")
    playground.page.fill("#prompt", "another")
    assert playground.text(".asked") == f"to {PROMPT}"
    _, *events = saved.read_text(encoding="utf-8").splitlines(keepends=True)
    last = {"role": "user", "content": "the last"}
    chat = {"messages": [{"role": "user", "content": "the first"}, {"role": "assistant", "content": "1"}, last]}

    bodies = (
        (chat, "to the last"),
        ({"prompt": "9" * 301}, f"to {'9' * 300} …"),
        ({"messages": [None]}, "this file does not tell the prompt"),
        ({"prompt": ""}, "to"),
    )
    for body, shown in bodies:
        told = json.dumps({"type": "page.request", "body": body}) + "\n"
        (tmp_path / "told.ndjson").write_text(told + "".join(events), encoding="utf-8")
        playground.load(tmp_path / "told.ndjson")
        wait_until(lambda shown=shown: [shown] == playground.texts(".asked:not([hidden])"))
        assert not playground.page.is_visible("#problem")


def test_lines_that_curl_saved_are_a_run_as_well(served: Served, open_page: Open, tmp_path: Path) -> None:
    """Without steps the rounds alone are there."""
    events = served.events({"prompt": PROMPT})
    (tmp_path / "run.ndjson").write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")
    playground = open_page(served.url).ready()

    playground.load(tmp_path / "run.ndjson")
    playground.finished()

    assert playground.text("#answer output") == events[-1]["answer"]
    assert len(playground.texts("#strip li")) == events[-1]["tie"]["rounds"]
    facts = {"complete: 42 tokens", "complete: its last tokens were not told"}
    assert set(playground.texts(".member .facts")) <= facts


def test_the_recorded_run_of_the_documents_is_shown(served: Served, open_page: Open) -> None:
    events = [json.loads(line) for line in RECORDED.read_text(encoding="utf-8").splitlines()]
    end = events[-1]
    playground = open_page(served.url).ready()

    playground.load(RECORDED)
    playground.finished()

    assert playground.text("#answer output") == end["answer"]
    assert len(playground.texts("#strip li")) == end["tie"]["rounds"]
    names = next([model["id"] for model in event["models"]] for event in events if event["type"] == "tie.created")
    assert playground.texts(".member .guess") == [end["tie"]["candidates"][name] for name in names]
    assert [facts.partition(":")[2] for facts in playground.texts(".member .facts")] == 3 * [" 42 tokens"]


def test_what_follows_the_last_relay_is_no_round(served: Served, open_page: Open) -> None:
    _, *events = [json.loads(line) for line in RECORDED.read_text(encoding="utf-8").splitlines()]
    num_rounds = events[-1]["tie"]["rounds"]
    playground = open_page(served.url).ready()
    playground.load(RECORDED)
    playground.finished()

    def moment(count: int) -> str:
        playground.page.locator("#position").fill(str(count))
        wait_until(lambda: playground.text("#moment").startswith(f"{count} of "))
        return playground.text("#moment").partition(": ")[2]

    steps = {
        (event["round"], event["step"], event["model"]): count
        for count, event in enumerate(events, 1)
        if event["type"] == "tie.step"
    }
    last, behind = (next(key for key in steps if key[0] == number) for number in (num_rounds, num_rounds + 1))
    assert moment(steps[last]).startswith(f"round {num_rounds}, step {last[1]} of ")
    assert moment(steps[behind]).startswith(f"after round {num_rounds}: step {behind[1]} of ")
    assert playground.text("#status").startswith(f"the whole run: completed · {num_rounds} rounds · ")


def test_the_rounds_say_what_their_numbers_are(served: Served, open_page: Open, tmp_path: Path) -> None:
    """Of a confidence that broke a tie there are as many decimals as tell it from the others: three at least."""
    lines = [json.loads(line) for line in RECORDED.read_text(encoding="utf-8").splitlines()]
    rounds = [line for line in lines if line["type"] == "tie.round"]
    told = [("top1", (0.8, 0.9, 0.9)), ("top1", (0.95796, 0.95823, 0.9)), (None, (0.8, 0.9, 0.9))]
    for ended, (tie_break, confidences) in zip(rounds, told, strict=False):
        scores = zip(ended["scores"], (0.0, 0.0, -1.0), confidences, strict=True)
        ended["tie_break"], ended["leader"] = tie_break, list(ended["scores"])[1]
        ended["scores"] = {name: {"value": value, "tcc": -value, "top1": top1} for name, value, top1 in scores}
    (tmp_path / "run.ndjson").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    playground = open_page(served.url).ready()

    playground.load(tmp_path / "run.ndjson")
    playground.finished()

    words = playground.text("#rounds-title + p")
    assert words.startswith(
        "Each member's score, the higher the better, with its mean confidence in brackets; ★ leads."
    )
    assert [word in words for word in ("by top1", "transcoded", "copied")] == [True] * 3
    rows = [row.locator("td").all_inner_texts() for row in playground.page.locator("#rounds tbody tr").all()]
    assert rows[0][:3] == ["0.000 (0.800)", "★ 0.000 (0.900)", "-1.000 (0.900)"]
    assert rows[1][:3] == ["0.000 (0.9580)", "★ 0.000 (0.9582)", "-1.000 (0.9000)"]
    assert rows[2][:3] == ["0.000 (0.80)", "★ 0.000 (0.90)", "-1.000 (0.90)"]


def test_each_count_of_token_changes_says_over_what_it_is(served: Served, open_page: Open) -> None:
    playground = open_page(served.url).run(PROMPT).finished()

    heads = playground.texts("#written thead th")
    assert [head for head in heads if "TCC" in head] == ["TCC of the whole run"]
    captions = playground.page.locator(".member >> nth=0 >> figcaption").evaluate_all(
        "(them) => them.map((it) => it.firstChild.textContent.trim())"
    )
    assert captions == ["confidence", "round's TCC"]


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("length", "the text fills the canvas"),
        ("stop", "the text ends before the canvas does"),
        ("deadline", "ended at the deadline"),
        ("<b>", "ended by <b>"),
    ],
)
def test_a_run_says_how_it_ended(served: Served, open_page: Open, tmp_path: Path, reason: str, words: str) -> None:
    told = RECORDED.read_text(encoding="utf-8").replace('"finish_reason": "length"', f'"finish_reason": "{reason}"')
    (tmp_path / "run.ndjson").write_text(told, encoding="utf-8")
    playground = open_page(served.url).ready()

    playground.load(tmp_path / "run.ndjson")
    playground.finished()

    facts = playground.text("#written .facts").split(" · ")
    assert (facts[3], facts[-1]) == (words, "no approximation")


def test_how_many_events_were_drawn_at_a_time_is_said_of_the_run_that_was_followed(
    served: Served, open_page: Open
) -> None:
    """All but the last come at once, which the page then reads on to."""
    reply = served.client.post("/v1/tie/generate", json={"prompt": PROMPT, "stream": True, "events": "step"})
    at_once = reply.text.rstrip().rpartition("\n\n")[0] + "\n\n"
    playground = open_page(served.url).ready()
    playground.page.route(
        "**/v1/tie/generate", lambda route: route.fulfill(body=at_once, content_type="text/event-stream")
    )

    playground.run(PROMPT).finished()

    num, facts = at_once.count("data: "), playground.text("#written .facts")
    assert playground.text("#status").endswith(f" · {num + 1} events · drawn up to {num} events at a time")
    playground.load(RECORDED)
    wait_until(lambda: playground.text("#written .facts") != facts)
    assert playground.text("#status").endswith(" events")


def test_the_legend_names_what_is_kept_and_what_nobody_is_known_to_have_written(
    served: Served, open_page: Open
) -> None:
    playground = open_page(served.url).run(PROMPT).finished()

    legend = playground.texts("[aria-label='states of a token'] li")
    assert [entry for entry in legend if "kept" in entry] == ["a kept"]
    assert "a writer not told" in legend
    lines = [
        playground.page.locator(f".sample.kept{kind}").first.evaluate("(it) => getComputedStyle(it).borderBottomStyle")
        for kind in ("", ".by-nobody")
    ]
    assert lines == ["solid", "none"]


def test_a_server_without_room_says_when_to_try_again(open_page: Open) -> None:
    faults = Faults()
    limits = LimitSettings(max_running=1, max_waiting=1)
    with serving(fake_settings(limits=limits), FakeLoader(faults)) as served:
        faults.gate.clear()
        others = [open_page(served.url).run(PROMPT) for _ in range(2)]
        for other in others:
            other.page.wait_for_selector("#result", state="visible")
        playground = open_page(served.url, faults=("503",)).run(PROMPT)
        playground.page.wait_for_selector("#problem", state="visible")

        assert "queue_full" in playground.text("#problem-code")
        assert "The server is busy" in playground.text("#problem-advice")
        assert playground.text("#problem-again").startswith("Try again")
        faults.gate.set()
        for other in others:
            other.finished()
        playground.page.wait_for_selector("#problem-again:enabled")
        playground.page.click("#problem-again")
        playground.finished()
        assert not playground.page.is_visible("#problem")


def test_a_page_that_comes_before_the_models_goes_on_when_they_are_there(open_page: Open) -> None:
    loader = FakeLoader()
    loader.gate.clear()
    with serving(fake_settings(), loader, until_ready=False) as served:
        playground = open_page(served.url, faults=("503",))
        playground.page.wait_for_selector("#problem.neutral", state="visible")
        assert playground.text("#problem-message") == "The server is loading its models."
        assert playground.text("#problem-advice") == "This page goes on by itself when they are there."
        assert not playground.page.is_visible("#problem-again")
        assert playground.text("#server") == "loading its models …"
        assert playground.page.is_disabled("#run")

        loader.gate.set()
        playground.run(PROMPT).finished()

        assert not playground.page.is_visible("#problem")


def test_the_pictures_of_the_documents_can_be_taken_anew(served: Served, browser: Browser, tmp_path: Path) -> None:
    """`browser` says whether there is one."""
    script = Path(__file__).parents[3] / "docs" / "take_playground.py"

    subprocess.run([sys.executable, script, "--server", served.url, "--out", tmp_path], check=True, timeout=120)

    for name in ("playground.png", "playground-dark.png"):
        head = (tmp_path / name).read_bytes()[:20]
        assert (head[:8], int.from_bytes(head[16:20])) == (b"\x89PNG\r\n\x1a\n", 1280)


def test_a_saved_run_that_failed_says_why(served: Served, open_page: Open, tmp_path: Path) -> None:
    events = served.events({"prompt": PROMPT, "events": "step"})[:9]
    error = {"message": "the deadline came first", "type": "server_error", "param": None, "code": "deadline_exceeded"}
    events.append({"type": "tie.error", "seq": 10, "t_ms": 9.0, "error": error, "retryable": True})
    (tmp_path / "run.ndjson").write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")
    playground = open_page(served.url).ready()

    playground.load(tmp_path / "run.ndjson")
    playground.page.wait_for_selector("#problem", state="visible")

    assert playground.text("#problem-message") == error["message"]
    assert "Allow more time" in playground.text("#problem-advice")
    assert not playground.page.is_visible("#problem-again")
    assert playground.page.locator(".tentative:not(.sample)").count() > 0


def test_an_option_that_is_refused_is_pointed_at(served: Served, open_page: Open) -> None:
    playground = open_page(served.url, faults=("400",)).ready()
    playground.page.click("#other-options > summary")
    playground.page.fill("[data-param='unmasking.tau']", "0.5")
    playground.page.click("#other-options > summary")

    playground.run()
    playground.page.wait_for_selector("#problem", state="visible")

    assert playground.text("#problem-message").startswith("tau has no effect unless policy is threshold")
    assert "unmasking.tau" in playground.text("#problem-code")
    assert playground.page.evaluate("document.activeElement.dataset.param") == "unmasking.tau"
    assert playground.page.get_attribute("[data-param='unmasking.tau']", "aria-invalid") == "true"
    assert playground.text("#field-problem") == playground.text("#problem-message")
    playground.page.select_option("[data-param='unmasking.policy']", "threshold")
    playground.run().finished()
    assert playground.page.locator("[aria-invalid]").count() == 0


def test_a_run_stays_until_the_first_event_of_the_next_one(served: Served, open_page: Open) -> None:
    playground = open_page(served.url, faults=("400",)).run(PROMPT).finished()
    page = playground.page

    def shown() -> list[Any]:
        run = page.get_attribute("#result", "data-run")
        return [run, playground.text("#answer"), playground.canvases(), playground.texts("#rounds tr")]

    page.focus("#position")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    wait_until(lambda: playground.text("#moment").startswith("1 of "))
    before = shown()
    held: list[Route] = []
    page.route("**/v1/tie/generate", lambda route: held.append(route))
    page.fill("[data-param='tie.interval']", "0")
    playground.run("another")
    page.wait_for_selector("#stop", state="visible")
    wait_until(lambda: playground.text("#status") == "asking" and len(held) == 1)
    assert shown() == before

    held[0].continue_()
    page.wait_for_selector("#problem", state="visible")
    page.wait_for_selector("#run", state="visible")

    assert shown() == before
    assert playground.text("#moment").startswith("1 of ")
    assert playground.text("#status").startswith("the whole run: completed")
    assert page.is_enabled("#export")
    assert playground.text("#problem-advice").endswith(" What is shown below is the run before.")
    page.unroute("**/v1/tie/generate")
    page.fill("[data-param='tie.interval']", "")
    playground.run()
    wait_until(lambda: before[0] != page.get_attribute("#result", "data-run"))
    playground.finished()
    assert playground.text(".asked") == "to another"


def test_a_refusal_of_the_first_run_speaks_of_no_run_before(served: Served, open_page: Open) -> None:
    playground = open_page(served.url, faults=("400",)).ready()
    playground.page.fill("[data-param='tie.interval']", "0")

    playground.run()
    playground.page.wait_for_selector("#problem", state="visible")

    assert playground.text("#problem-advice") == "Change the request: the message says which part and how."
    playground.page.wait_for_selector("#welcome", state="visible")


def test_without_a_member_the_page_says_so_below_them_and_asks_nobody(served: Served, open_page: Open) -> None:
    playground = open_page(served.url).ready()
    for name in NAMES:
        playground.page.uncheck(f"[name=models][value={name}]")

    playground.run()
    playground.page.wait_for_selector("#field-problem")

    assert playground.texts("#field-problem") == ["Choose at least one member."]
    assert playground.text("#announcements") == "Choose at least one member."
    assert playground.page.locator("[data-part=members] + #field-problem").count() == 1
    assert playground.page.evaluate("document.activeElement.value") == NAMES[0]
    assert not [request for request in playground.requests if request.method == "POST"]
    playground.page.check(f"[name=models][value={NAMES[1]}]")
    assert playground.page.locator("#field-problem, [aria-invalid]").count() == 0


@pytest.mark.parametrize("prompt", ["", " \n "])
@pytest.mark.parametrize("key", ["Enter", "Control+Enter"])
def test_without_a_prompt_the_page_says_so_and_asks_nobody(
    served: Served, open_page: Open, prompt: str, key: str
) -> None:
    playground = open_page(served.url).ready()
    page = playground.page
    page.fill("#prompt", prompt)
    page.focus("#run" if key == "Enter" else "#prompt")

    page.keyboard.press(key)
    page.wait_for_selector("#field-problem")

    words = "There is no prompt yet: write one, or take an example."
    assert playground.text("#field-problem") == playground.text("#announcements") == words
    assert page.evaluate("document.activeElement.id") == "prompt"
    assert page.get_attribute("#prompt", "aria-describedby") == "field-problem about"
    assert not [request for request in playground.requests if request.method == "POST"]
    page.keyboard.type("1")
    assert page.locator("#field-problem, [aria-invalid]").count() == 0
    assert page.get_attribute("#prompt", "aria-describedby") == "about"
    playground.run().finished()


def test_each_ensemble_says_what_it_can_be_asked_and_offers_examples(open_page: Open) -> None:
    settings = fake_settings()
    told = {"about": HOSTILE, "examples": [HOSTILE, "seven"]}
    others = [
        EnsembleSettings(name="hostile", models=list(NAMES), defaults=OPTIONS, **told),
        EnsembleSettings(name="silent", models=list(NAMES)),
    ]
    settings = settings.model_copy(update={"ensembles": [*settings.ensembles, *others]})
    with serving(settings, FakeLoader()) as served:
        playground = open_page(served.url).ready()
        page = playground.page
        assert playground.text("#about") == "Anything: these guess."
        assert (playground.texts(".example"), page.input_value("#prompt")) == (["1 2 3", "4 5 6"], "1 2 3")

        page.click(".example >> nth=1")
        assert page.input_value("#prompt") == "4 5 6"
        assert playground.text("#announcements") == "The prompt is now: 4 5 6"

        page.select_option("[name=ensemble]", "hostile")
        assert page.input_value("#prompt") == HOSTILE
        assert "<script>window.hacked = 1</script>" in playground.text("#about")
        assert "<script>window.hacked = 1</script>" in playground.text(".example >> nth=0")
        assert page.locator("aside img, aside script").count() == 0
        page.fill("#prompt", "my own")
        page.select_option("[name=ensemble]", "silent")
        assert (playground.text("#about"), playground.texts(".example")) == ("", [])
        assert page.input_value("#prompt") == "my own"
        page.select_option("[name=ensemble]", "tie")
        page.click(".example >> nth=0")
        page.select_option("[name=ensemble]", "silent")
        assert page.input_value("#prompt") == ""
        page.click("#run")
        assert playground.text("#field-problem") == "There is no prompt yet: write one."
        page.select_option("[name=ensemble]", "tie")
        assert page.locator("#field-problem, [aria-invalid]").count() == 0
        playground.run().finished()

        (asked,) = [json.loads(request.post_data or "") for request in playground.requests if request.method == "POST"]
        assert asked["messages"] == [{"role": "user", "content": "1 2 3"}]
        assert page.evaluate("window.hacked") is None


def test_options_are_those_of_the_servers_own_schema(served: Served, open_page: Open) -> None:
    schemas = served.client.get("/openapi.json").json()["components"]["schemas"]
    offered = (
        open_page(served.url)
        .ready()
        .page.evaluate(
            """() => Object.fromEntries([...document.querySelectorAll("select[data-kind]")]
            .map((it) => [it.dataset.param, [...it.options].slice(1).map((one) => one.value)]))"""
        )
    )

    for part, prefix in (("TieBody", "tie."), ("UnmaskingBody", "unmasking."), ("GenerateBody", "")):
        for name, schema in schemas[part]["properties"].items():
            choices = [choice for one in schema.get("anyOf", []) for choice in one.get("enum", [])]
            if choices and name != "events" and name != "on_disconnect":
                assert offered[prefix + name] == choices
    assert offered["tie.cross_model"] == ["true", "false"]


def test_options_tell_what_they_mean_and_what_holds_without_them(served: Served, open_page: Open) -> None:
    schemas = served.client.get("/openapi.json").json()["components"]["schemas"]
    playground = open_page(served.url).ready()
    page = playground.page

    told = page.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll("[data-kind]")].map((it) => [it.dataset.param,
            document.getElementById(it.getAttribute("aria-describedby")).textContent]))"""
    )
    for part, prefix in (("TieBody", "tie."), ("UnmaskingBody", "unmasking."), ("AnswerBody", "answer.")):
        for name, schema in schemas[part]["properties"].items():
            if prefix + name != "tie.calibration":
                assert told[prefix + name] == schema["description"].replace("`", "")
    assert told["task"] == schemas["GenerateBody"]["properties"]["task"]["description"]
    assert all(told.values())
    assert page.locator("[data-kind][title]").count() == 0


def test_defaults_are_those_of_the_chosen_ensemble_task_and_policy(open_page: Open) -> None:
    settings = fake_settings()
    ensemble = settings.default_ensemble.model_copy(update={"policy_defaults": {"threshold": {"interval": 3}}})
    other = EnsembleSettings(name="other", models=list(NAMES))
    settings = settings.model_copy(update={"ensembles": [ensemble, other]})
    with serving(settings, FakeLoader()) as served:
        playground = open_page(served.url, faults=("ERR_",)).ready()
        page = playground.page

        def shown(param: str) -> str:
            return str(page.evaluate(DEFAULT_SHOWN, param))

        def waits_for(param: str, words: str) -> None:
            wait_until(lambda: shown(param) == f"default: {words}")

        assert [shown(param) for param in ("tie.interval", "tie.score", "unmasking.k", "unmasking.fill_end")] == [
            "default: 8",
            "default: tcc",
            "default: 1",
            "default: false",
        ]
        assert shown("answer.suffix") == 'default: " Answer:"'
        assert shown("gen_length") == "default: what the others leave"
        assert (shown("answer.scored_positions"), shown("tie.best_model")) == ("default: all", "default: none")
        page.select_option("[data-param='unmasking.policy']", "threshold")
        waits_for("tie.interval", "3")
        page.select_option("[name=ensemble]", "other")
        waits_for("tie.interval", "32")
        page.click("#other-options > summary")
        page.select_option("[data-param='task']", "math")
        waits_for("tie.interval", "16")
        waits_for("gen_length", "256")
        page.select_option("[data-param='task']", "")
        page.select_option("[data-param='tie.score']", "top1")
        waits_for("gen_length", "128")
        waits_for("tie.interval", "16")
        page.context.set_offline(True)
        page.select_option("[data-param='tie.score']", "margin")
        wait_until(lambda: shown("tie.interval") == "default")
        page.select_option("[data-param='unmasking.policy']", "")
        page.select_option("[data-param='tie.score']", "")
        waits_for("tie.interval", "32")


def test_defaults_are_those_of_the_lengths_that_are_named(served: Served, open_page: Open) -> None:
    playground = open_page(served.url, faults=("400",)).ready()
    page = playground.page
    page.click("#other-options > summary")

    def waits_for(param: str, words: str) -> None:
        wait_until(lambda: str(page.evaluate(DEFAULT_SHOWN, param)) == words)

    def name(param: str, length: str) -> None:
        page.fill(f"[data-param='{param}']", length)
        page.keyboard.press("Tab")

    waits_for("reasoning_length", "default: 24")
    name("gen_length", "64")
    waits_for("reasoning_length", "default: what the others leave")
    name("reasoning_length", "30")
    waits_for("answer.length", "default: what the others leave")
    name("answer.length", "30")
    waits_for("tie.interval", "default")
    name("gen_length", "")
    waits_for("gen_length", "default: what the others leave")


def test_every_option_tells_its_default(served: Served, open_page: Open) -> None:
    page = open_page(served.url).ready().page

    params = page.evaluate("() => [...document.querySelectorAll('[data-kind]')].map((it) => it.dataset.param)")
    shown = {param: page.evaluate(DEFAULT_SHOWN, param) for param in params}

    assert [param for param, words in shown.items() if not words.startswith("default: ")] == []
    own = [shown[param] for param in ("stop", "deadline_ms", "on_deadline")]
    assert own == ["default: none", "default: none", "default: error"]


@pytest.mark.parametrize("body", ["<html>", "null", '{"defaults": "none"}'])
def test_a_reply_that_tells_no_defaults_leaves_none(served: Served, open_page: Open, body: str) -> None:
    page = open_page(served.url).ready().page
    page.route("**/v1/models/tie?*", lambda route: route.fulfill(body=body))

    page.select_option("[data-param='tie.score']", "top1")

    wait_until(lambda: page.evaluate(DEFAULT_SHOWN, "tie.interval") == "default")


def test_until_a_reply_comes_no_other_ensembles_defaults_are_shown(open_page: Open) -> None:
    settings = fake_settings()
    other = EnsembleSettings(name="other", models=list(NAMES))
    settings = settings.model_copy(update={"ensembles": [*settings.ensembles, other]})
    with serving(settings, FakeLoader()) as served:
        page = open_page(served.url).ready().page
        held: list[Route] = []
        page.route("**/v1/models/*?*", lambda route: held.append(route))

        page.select_option("[name=ensemble]", "other")
        assert page.evaluate(DEFAULT_SHOWN, "tie.interval") == "default: 32"
        page.select_option("[data-param='unmasking.policy']", "threshold")
        page.select_option("[name=ensemble]", "tie")
        wait_until(lambda: page.evaluate("true") and len(held) == 2)  # asked, since it tells of requests meanwhile

        assert page.evaluate(DEFAULT_SHOWN, "tie.interval") == "default"
        held[1].continue_()
        wait_until(lambda: page.evaluate(DEFAULT_SHOWN, "tie.interval") == "default: 8")
        held[0].continue_()


def test_what_is_chosen_is_what_is_asked(served: Served, open_page: Open) -> None:
    playground = open_page(served.url).ready()
    playground.page.uncheck(f"[name=models][value={NAMES[1]}]")
    playground.page.select_option("[data-param='tie.score']", "top1")
    playground.page.fill("[data-param='tie.interval']", "4")

    playground.run(PROMPT).finished()

    (asked,) = [request for request in playground.requests if request.method == "POST"]
    assert json.loads(asked.post_data or "") == {
        "messages": [{"role": "user", "content": PROMPT}],
        "ensemble": "tie",
        "models": [NAMES[0]],
        "tie": {"interval": 4, "score": "top1"},
        "stream": True,
        "events": "step",
        "on_disconnect": "continue",
    }
    assert playground.page.locator(".member").count() == 1
    assert playground.text("#answer [data-part=reason]").endswith("gives the answer: it was the only one asked.")


def test_a_member_alone_keeps_its_letter_and_its_colour(served: Served, open_page: Open, tmp_path: Path) -> None:
    playground = open_page(served.url).ready()
    playground.page.uncheck(f"[name=models][value={NAMES[0]}]")
    playground.run(PROMPT).finished()

    saved = playground.save(tmp_path / "run.ndjson")
    assert playground.texts("#writers li") == [f"B {NAMES[1]}"]
    assert playground.page.locator(".member.by-1 h3 .letter.by-1").inner_text() == "B"

    saved.write_text(saved.read_text().replace('"index":1', '"index":-1').replace('"index": 1', '"index": "x"'))
    playground.load(saved)
    wait_until(lambda: playground.texts("#writers li") == [f"A {NAMES[1]}"])  # a file that does not tell it


def test_what_is_not_chosen_is_not_asked(served: Served, open_page: Open) -> None:
    playground = open_page(served.url).run(PROMPT).finished()

    (asked,) = [request for request in playground.requests if request.method == "POST"]
    body = json.loads(asked.post_data or "")
    assert body.keys() == {"messages", "ensemble", "stream", "events", "on_disconnect"}


def test_a_dropped_connection_resumes_where_it_was(open_page: Open, tmp_path: Path) -> None:
    faults = Faults()
    with serving(fake_settings(), FakeLoader(faults)) as served:
        faults.seconds = 0.01
        with dropping(served.client.base_url, num_cuts=3, cut_after=6_000) as proxy:
            playground = open_page(proxy.url, faults=("ERR_",)).run(PROMPT).finished()
            events = [json.loads(line) for line in playground.save(tmp_path / "run.ndjson").read_text().splitlines()][
                1:
            ]

        assert proxy.num_done == 3
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
        asked = [request.url for request in playground.requests if "starting_after" in request.url]
        assert len(asked) == 3
        assert sum(request.method == "POST" for request in playground.requests) == 1
        labels = {"ensemble": "tie", "endpoint": "/v1/tie/generate", "finish_reason": events[-1]["finish_reason"]}
        assert served.metric("tie_requests_total", **labels) == 1


def test_a_request_whose_first_event_never_came_is_sent_again_and_computed_once(open_page: Open) -> None:
    with serving(fake_settings(), FakeLoader()) as served:
        num_before = served.metric("tie_request_rounds_count")  # the self-test is a request as well
        with dropping(served.client.base_url, num_cuts=1, cut_after=500) as proxy:
            playground = open_page(proxy.url, faults=("ERR_",)).run(PROMPT).finished()

        assert proxy.num_done == 1
        posts = [request for request in playground.requests if request.method == "POST"]
        assert len(posts) == 2
        assert len({request.headers["idempotency-key"] for request in posts}) == 1
        assert served.metric("tie_request_rounds_count") == num_before + 1


def test_stop_ends_the_run_on_the_server(open_page: Open) -> None:
    faults = Faults()
    with serving(fake_settings(), FakeLoader(faults)) as served:
        faults.seconds = 0.2
        playground = open_page(served.url).run(PROMPT)
        playground.page.wait_for_selector(".tentative:not(.sample)")

        playground.page.click("#stop")
        playground.page.wait_for_selector("#problem.neutral", state="visible")

        assert playground.text("#problem-message") == "This run was stopped."
        playground.page.wait_for_selector("#run", state="visible")
        assert playground.text("#status").startswith("stopped · ")
        assert playground.text("#moment").endswith(": the run was stopped")
        assert playground.text("#answer").endswith("The run was stopped before its answer.")
        assert served.service.runs.check_loaded().engine.num_running == 0


def test_arrows_home_end_and_space_move_through_the_steps(served: Served, open_page: Open) -> None:
    playground = open_page(served.url).run(PROMPT).finished()
    at_end = playground.canvases()
    count = int(playground.page.get_attribute("#position", "max") or "")
    playground.page.focus("#position")

    def press(key: str) -> tuple[int, str]:
        playground.page.keyboard.press(key)
        playground.page.evaluate("() => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)))")
        return int(playground.page.input_value("#position")), playground.text("#moment")

    assert press("Home") == (0, f"0 of {count}: nothing has run yet")
    assert playground.text("#status").startswith("the whole run: completed · ")
    assert press("ArrowRight")[0] == 1
    assert set("".join(playground.canvases())) == {"·", " "}
    press("ArrowRight")
    at, words = press("ArrowRight")
    assert (at, words) == (3, playground.page.get_attribute("#position", "aria-valuetext"))
    assert "round 1, step 1" in words
    assert press("ArrowLeft")[0] == 2
    assert press("End")[0] == count
    assert playground.text("#status").startswith("completed · ")
    assert playground.canvases() == at_end
    playground.page.select_option("#speed", "120")
    playground.page.focus("#position")
    playground.page.keyboard.press("Space")
    playground.wait_for("document.querySelector('#play').textContent === 'Pause'")
    playground.wait_for("document.querySelector('#play').textContent === 'Play'")
    assert playground.canvases() == at_end


def test_tokens_are_read_by_the_arrow_keys(served: Served, open_page: Open) -> None:
    playground = open_page(served.url).run(PROMPT).finished()
    grid = playground.page.locator(".grid").first
    grid.focus()

    playground.page.keyboard.press("End")
    last = grid.get_attribute("aria-valuetext") or ""
    playground.page.keyboard.press("ArrowLeft")
    before = grid.get_attribute("aria-valuetext") or ""

    assert last.startswith("answer 18: ")
    assert before.startswith("answer 17: ")
    assert "confidence" in last
    assert any(name in last for name in NAMES)
    assert grid.get_attribute("aria-valuenow") == "41"


def test_hostile_text_is_inert(served: Served, open_page: Open, tmp_path: Path) -> None:
    """In the prompt, and wherever a file can put it: tokens, names, probes, errors."""
    playground = open_page(served.url).run(HOSTILE + PROMPT).finished()
    events = [json.loads(line) for line in playground.save(tmp_path / "run.ndjson").read_text().splitlines()]

    def spoiled(value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            return {spoiled(key) if key in NAMES else key: spoiled(each, key) for key, each in value.items()}
        if isinstance(value, list):
            return [spoiled(each) for each in value]
        return HOSTILE + value if isinstance(value, str) and name != "type" else value

    spoiled_run = "".join(json.dumps(spoiled(event)) + "\n" for event in events[1:])
    (tmp_path / "spoiled.ndjson").write_text(spoiled_run, encoding="utf-8")
    playground.load(tmp_path / "spoiled.ndjson")
    playground.wait_for("document.querySelector('#writers').textContent.includes('onerror')")

    assert playground.page.evaluate("window.hacked") is None
    assert playground.page.locator("main img, main script").count() == 0
    assert "\u202e" not in playground.page.inner_text("#members") + playground.page.inner_text("#answer")
    assert '<img src=x onerror="window.hacked = 1">' in playground.text("#answer output")


def test_with_keys_the_page_asks_for_one_and_keeps_it_in_its_tab(open_page: Open, tmp_path: Path) -> None:
    key = add_key(tmp_path / "keys.toml", "mine")
    with serving(fake_settings(auth=AuthSettings(keys_file=tmp_path / "keys.toml")), FakeLoader()) as served:
        playground = open_page(served.url, faults=("401",))
        page = playground.page
        page.wait_for_selector("#key", state="visible")
        assert page.is_disabled("#run")
        page.fill("#api-key", "tie-wrong")
        page.keyboard.press("Enter")
        playground.wait_for("document.querySelector('#problem-code').textContent.includes('invalid_api_key')")
        page.fill("#api-key", key)
        page.keyboard.press("Enter")

        playground.run(PROMPT).finished()

        assert page.evaluate("[Object.values(localStorage), document.cookie]") == [[], ""]
        assert page.evaluate("Object.values(sessionStorage)") == [key]
        assert not [request.url for request in playground.requests if key in request.url]
        assert key not in page.content()
