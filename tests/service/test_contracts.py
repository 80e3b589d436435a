"""Everything that a server sends over the zoo is what the committed contracts say, and nothing else would be."""

import json
import runpy
from collections import defaultdict
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import pytest

from service.keys import add_key
from service.loading import Loaded, start
from service.settings import AuthSettings, LimitSettings, Settings
from tests.contracts import FOLDER, any_event, committed, complaint, event_of, fault_of, page_validator
from tests.members import zoo
from tests.reliability.faulty import MARK, Fault, faulty
from tests.service.fakes import FakeLoader
from tests.service.served import GENERATE, PROMPT, Served, serving
from tie_core.engine.observer import Observer
from tie_core.events import Completed, RoundEnded
from tie_core.member import Member
from tie_core.options import Approximation, PolicyName, RelayBoundary, ScoreName, SelectionName, SuppressEnd
from tie_core.zoo import MEMBERS

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
MESSAGES = [{"role": "user", "content": PROMPT}]
MARKED = {"prompt": f"{PROMPT}; {MARK}"}
MID_ROUND = 31  # masks of a zoo canvas that are left in its second round
RULES = {"tcc": {"intercept": 0.5, "slope": 2.0}, "lowest_tcc": {"intercept": 0, "slope": 1}}
FEW_STEPS = {"unmasking": {"policy": "threshold"}}


def of_choices() -> Iterator[tuple[str, dict[str, Any]]]:
    """Runs in which every named choice is made once at least."""
    kinds = (PolicyName, SuppressEnd, RelayBoundary, SelectionName)
    for number, score in enumerate(get_args(ScoreName)):
        policy, suppress_end, boundary, selection = (get_args(kind)[number % len(get_args(kind))] for kind in kinds)
        tie = {"score": score, "relay_boundary": boundary, "selection": selection, "interval": 5}
        best = {"best_model": MEMBERS[0]} if selection == "best_model" else {}
        yield score, {"tie": tie | best, "unmasking": {"policy": policy, "suppress_end": suppress_end}}


WAYS: dict[str, dict[str, Any]] = {
    "messages": {"messages": MESSAGES},
    "one model": {"models": [MEMBERS[0]]},
    "open": {"task": "open", "gen_length": 24},
    "code": {"task": "code", "gen_length": 32},
    "stop": {"stop": ["1", "9"], **FEW_STEPS},
    "calibration": {"tie": {"calibration": dict.fromkeys(MEMBERS, RULES)}, **FEW_STEPS},
    "readings of its own": {"tie": {"score": "top1", "cross_model": False}, **FEW_STEPS},
    "early commit": {"early_commit": True, "early_commit_margin": 0.01},
    "filled ends": {"unmasking": {"fill_end": True}},
    "windows": {"cache": "window", "refresh_interval": 3},
    "partial": {"deadline_ms": 1, "on_deadline": "partial"},
    "deadline": {"deadline_ms": 1},
    **dict(of_choices()),
}
Event = dict[str, Any]


class Loading:
    """The zoo, whose first member can be made to fail."""

    def __init__(self) -> None:
        first, *others = zoo()
        self._first = faulty(first)
        self._others = others
        self.fault: Fault = self._first.fault

    def __call__(self, settings: Settings, observer: Observer) -> Loaded:
        members: Mapping[str, Member] = {member.name: member for member in (self._first, *self._others)}
        return start(settings, observer, members, dict.fromkeys(members, 0.1))


LOADING = Loading()


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(Settings(limits=LimitSettings(max_kept_states=4)), LOADING) as served:
        yield served


@pytest.fixture
def fault() -> Iterator[Fault]:
    yield LOADING.fault
    LOADING.fault.disarm()


def run(served: Served, **body: Any) -> list[Event]:
    asked = body if body.keys() & {"messages", "prompt"} else {"prompt": PROMPT, **body}
    return served.events(asked)


def replay(served: Served, number: str, **query: Any) -> list[Event]:
    accept = {"accept": "application/x-ndjson"}
    text = served.client.get(f"/v1/tie/requests/{number}/events", params=query, headers=accept).text
    return [json.loads(line) for line in text.splitlines()]


def cancelled(served: Served) -> list[Event]:
    """A run that is cancelled as soon as it is known."""
    body = {"prompt": PROMPT, "gen_length": 400, "stream": True}
    events = []
    with served.client.stream("POST", GENERATE, json=body, headers={"accept": "application/x-ndjson"}) as response:
        for line in response.iter_lines():
            events.append(json.loads(line))
            if len(events) == 1:
                served.client.delete(f"/v1/tie/requests/{events[0]['id']}")
    return events


@pytest.fixture(scope="module")
def told(served: Served) -> dict[str, list[Event]]:
    """By type, an event of every kind of run that changes events."""
    events = [event for way in WAYS.values() for event in run(served, events="step", **way)]
    for detail in ("round", "snapshot"):
        events += run(served, events=detail)
    number = run(served, events="step")[0]["id"]
    for detail in ("round", "step", "snapshot"):
        events += replay(served, number, events=detail)
    events += cancelled(served)
    LOADING.fault.arm("exception", MID_ROUND)
    events += run(served, **MARKED)
    events += run(served, **MARKED, tie={"min_models": len(MEMBERS)})
    LOADING.fault.disarm()
    by_type = defaultdict(list)
    for event in events:
        by_type[event["type"]].append(event)
    return dict(by_type)


def test_no_event_of_any_kind_of_run_breaks_the_contract(told: dict[str, list[Event]]) -> None:
    for kind, events in told.items():
        for event in events:
            assert not (words := fault_of(event_of(kind), event)), f"{event}\n{words}"
        assert not fault_of(any_event(), events[0])


def test_the_runs_tell_every_type_of_event_and_all_that_changes_them(told: dict[str, list[Event]]) -> None:
    ends = [event["tie"] for event in told["tie.completed"]]

    known = {definition["$ref"].rpartition("/")[2] for definition in committed("events.json")["oneOf"]}
    assert told.keys() == known
    assert {name for end in ends for name in end["approximations"]} == set(get_args(Approximation))
    assert {end["final_rule"] for end in ends} == set(get_args(SelectionName))
    assert any(end["partial"] for end in ends)
    assert any(end["degraded"] and end["lost"] for end in ends)
    assert {event["error"]["code"] for event in told["tie.error"]} == {
        "cancelled",
        "deadline_exceeded",
        "no_member_left",
    }
    assert any("skipped" in event for event in told["tie.snapshot"])
    assert {relay["result"] for event in told["tie.round"] for relay in event["relayed"]} >= {"transcoded"}


def required_places() -> list[tuple[str, str]]:
    definitions = committed("events.json")["$defs"]
    return [(kind, name) for kind in definitions if kind.startswith("tie.") for name in definitions[kind]["required"]]


@pytest.mark.parametrize(("kind", "name"), required_places())
def test_an_event_without_one_of_its_fields_or_with_another_type_in_it_breaks_the_contract(
    kind: str, name: str, told: dict[str, list[Event]]
) -> None:
    event = told[kind][0]

    without = {field: value for field, value in event.items() if field != name}
    assert fault_of(any_event(), without)
    assert fault_of(any_event(), {**event, name: {"another": ["type"]}})


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("tie.round", ("unheard_of",), 1),
        ("tie.round", ("leader",), 0),
        ("tie.round", ("tie_break",), "coin"),
        ("tie.round", ("relayed", 0, "result"), "guessed"),
        ("tie.round", ("set", 0), [0, "1"]),
        ("tie.round", ("scores", "zoo-llada", "value"), "-0.5"),
        ("tie.step", ("set",), [[0.5, "1", 0.9]]),
        ("tie.step", ("answer_probe", "tokens"), [516]),
        ("tie.snapshot", ("models", "zoo-llada", "tokens"), [516]),
        ("tie.created", ("options", "score"), "luck"),
        ("tie.completed", ("tie", "approximations"), ["guessing"]),
        ("tie.completed", ("usage", "total_tokens"), None),
        ("tie.error", ("error", "status"), 503),
        ("tie.started", ("seq",), 0),
    ],
)
def test_a_wrong_value_anywhere_in_an_event_breaks_the_contract(
    kind: str, path: tuple[str | int, ...], value: Any, told: dict[str, list[Event]]
) -> None:
    event = deepcopy(next(event for event in told[kind] if _has(event, path[:-1])))
    *way, last = path
    part: Any = event
    for step in way:
        part = part[step]

    if isinstance(part, list):
        part[last] = value
    else:
        part |= {last: value}

    assert fault_of(any_event(), event)


def _has(part: Any, path: tuple[str | int, ...]) -> bool:
    try:
        for step in path:
            part = part[step]
    except (KeyError, IndexError):
        return False
    return True


@pytest.mark.parametrize(
    "more", [{}, {"diffusing": True}, {"events": "step"}, {"stream_options": {"include_usage": True}}]
)
@pytest.mark.parametrize(
    ("path", "asked", "name"),
    [(CHAT, {"messages": MESSAGES}, "ChatCompletion"), (COMPLETIONS, {"prompt": PROMPT}, "TextCompletion")],
)
def test_openais_objects_and_chunks_are_those_of_the_page(
    path: str, asked: dict[str, Any], name: str, more: dict[str, Any], served: Served
) -> None:
    body = {"model": "tie", **asked, **FEW_STEPS, **more}

    whole = served.client.post(path, json=body).json()
    chunks = chunks_of(served, path, body)

    assert not fault_of(page_validator(name), whole)
    for chunk in chunks:
        assert not (told := fault_of(page_validator(f"{name}Chunk"), chunk)), f"{chunk}\n{told}"
    assert [chunk["tie"]["type"] for chunk in chunks if "tie" in chunk][-1] == "tie.completed"
    assert any("usage" in chunk for chunk in chunks) == ("stream_options" in more)
    for wrong in ({**chunks[0], "choices": []}, {**chunks[0], "object": "chunk"}, {**chunks[-1], "tie": {"type": "?"}}):
        assert fault_of(page_validator(f"{name}Chunk"), wrong)


def chunks_of(served: Served, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    text = served.client.post(path, json={**body, "stream": True}).text
    *messages, end = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    return [json.loads(message) for message in (messages if end == "[DONE]" else [*messages, end])]


def test_a_stream_of_openais_that_fails_ends_in_the_one_shape_of_errors(served: Served, fault: Fault) -> None:
    fault.arm("exception", MID_ROUND)

    *chunks, end = chunks_of(served, COMPLETIONS, {"model": "tie", **MARKED, "tie": {"min_models": len(MEMBERS)}})

    assert not [told for chunk in chunks if (told := fault_of(page_validator("TextCompletionChunk"), chunk))]
    assert end["error"]["code"] == "no_member_left"
    assert not fault_of(page_validator("Error"), end)


def test_answers_states_and_errors_are_those_of_the_page(served: Served) -> None:
    answer = served.post({"prompt": PROMPT}).json()
    number = cancelled(served)[0]["id"]
    states = [served.client.get(f"/v1/tie/requests/{each}").json() for each in (answer["id"], number)]
    refused = [
        served.post({"prompt": PROMPT, "tie": {"score": "luck"}}),
        served.post({}),
        served.client.post(CHAT, json={"model": "gpt-4", "messages": MESSAGES}),
        served.client.get("/nowhere"),
        served.client.delete(GENERATE),
        served.client.post(GENERATE, content=b"{}"),
    ]

    assert not fault_of(page_validator("Completed"), answer)
    assert [state["state"] for state in states] == ["completed", "cancelled"]
    assert not [told for state in states if (told := fault_of(page_validator("RequestState"), state))]
    assert [response.status_code for response in refused] == [400, 400, 404, 404, 405, 415]
    assert not [told for each in refused if (told := fault_of(page_validator("Error"), each.json()))]


def test_the_pages_of_servers_with_and_without_keys_make_the_committed_one(served: Served, keyed: Served) -> None:
    of_both = runpy.run_path(str(FOLDER.parent / "write_contracts.py"))["of_both"]
    pages = [each.client.get("/openapi.json").json() for each in (served, keyed)]

    assert not complaint("openapi.json", committed("openapi.json"), of_both(*pages))


@pytest.fixture
def keyed(tmp_path: Path) -> Iterator[Served]:
    """A server whose one key may ask one request a minute; its client sends the key."""
    file = tmp_path / "keys.toml"
    key = add_key(file, "mine")
    file.write_text(file.read_text(encoding="utf-8").rstrip() + "\nrequests_per_minute = 1\n", encoding="utf-8")
    with serving(Settings(auth=AuthSettings(keys_file=file)), FakeLoader()) as served:
        served.client.headers["authorization"] = f"Bearer {key}"
        yield served


def test_who_has_no_key_and_who_has_used_it_up_is_refused_as_the_page_says(keyed: Served) -> None:
    paths = committed("openapi.json")["paths"]
    answered = keyed.post({"prompt": PROMPT}).status_code
    used_up = {
        path: keyed.client.request("POST", path, json={"model": "tie", **asked})
        for path, asked in {
            GENERATE: {"prompt": PROMPT},
            CHAT: {"messages": MESSAGES},
            COMPLETIONS: {"prompt": PROMPT},
        }.items()
    }
    del keyed.client.headers["authorization"]
    unknown = {
        (method, path): keyed.client.request(method, path.format(id="tie-1", name="tie"), json={})
        for path, operations in paths.items()
        for method, operation in operations.items()
        if "security" in operation
    }

    assert answered == 200
    assert len(unknown) == 11
    told = {(("post", path), "429"): answer for path, answer in used_up.items()}
    told |= {(place, "401"): answer for place, answer in unknown.items()}
    for ((method, path), status), answer in told.items():
        said = paths[path][method]["responses"][status]
        assert str(answer.status_code) == status
        assert said["headers"].keys() <= answer.headers.keys()
        assert not fault_of(page_validator("Error"), answer.json())


@pytest.mark.parametrize("kind", [RoundEnded, Completed])
def test_the_schemas_are_made_of_what_makes_the_events(kind: type[RoundEnded | Completed]) -> None:
    definition = committed("events.json")["$defs"][kind.type]

    names = ["type", "seq", "t_ms", *(field.name for field in fields(kind))]
    assert definition["required"] == names
    assert list(definition["properties"]) == [*names, "skipped"]
