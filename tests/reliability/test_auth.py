"""Without a key nothing but the probes and the page answers, whatever the route, path or Host; no key is ever told."""

import asyncio
import itertools
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path

import httpx
import pytest
from starlette.routing import Route

from service import keys as keys_module
from service.gate import PROBES, READ_METHODS
from service.keys import Keys, add_key, read_keys
from service.log import make_logger
from service.page import assets
from service.quotas import Holder
from service.settings import AuthSettings, LimitSettings, ServerSettings, SettingsError
from tests.reliability.processes import serving_process
from tests.service.fakes import FakeLoader, fake_settings
from tests.service.served import GENERATE, Served, serving, wait_until

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "FROB")
PATHS = (
    "/",
    "/page/main.js",
    "/page/",
    "/page/nowhere.js",
    "/page/__init__.py",
    "/page/main.js/",
    "/page/../v1/models",
    "/page/..%2fv1/models",
    "/page//main.js",
    "//page/main.js",
    "/index.html",
    "/nowhere",
    "//v1/models",
    "//livez",
    "/livez/",
    "/livez//",
    "/livez/../v1/models",
    "/v1/../livez",
    "/v1/models/../../livez",
    "/%2e%2e/livez",
    "/livez%2f..%2fv1/models",
    "/livez%00",
    "/livez;x=1",
    "/LIVEZ",
    "/.well-known/openid-configuration",
    "/v1/models?key=livez",
    "/metrics?x=/livez",
    "http://127.0.0.1/livez",
    "http://evil.example/v1/models",
    "*",
    "/v1/tie/requests/livez/events",
    "/static/../livez",
)
HOSTS = ("localhost", "127.0.0.1", "[::1]", "livez", "evil.example", "127.0.0.1:1", "localhost.evil.example", "/livez")
PAGE = {"/", "/page/main.js"}
SECRET_PROMPT = "zanzibar kettle 4417"


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, str]]:
    file = tmp_path_factory.mktemp("keys") / "keys.toml"
    add_key(file, "other")
    key = add_key(file, "mine")
    add_key(file, "last")
    with serving(fake_settings(auth=AuthSettings(keys_file=file)), FakeLoader()) as served:
        yield served, key


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def routes(served: Served) -> list[str]:
    """Every path that the app has, with something in the place of its parameters."""
    app = served.server.config.app
    paths = [route.path for route in app.routes if isinstance(route, Route)]  # type: ignore[union-attr]
    paths += list(app.openapi()["paths"])  # type: ignore[union-attr]
    return sorted({part.replace("{", "").replace("}", "") for part in paths})


async def statuses(served: Served, asked: list[tuple[str, str, str]]) -> list[tuple[int, str]]:
    """The status line's number and the whole answer of each method, target and Host, sent as they are."""
    url = served.client.base_url
    limit = asyncio.Semaphore(8)

    async def one(method: str, target: str, host: str) -> tuple[int, str]:
        async with limit:
            reader, writer = await asyncio.open_connection(url.host, url.port)
            head = f"{method} {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
            writer.write(head.encode())
            answer = (await reader.read()).decode()
            writer.close()
        return int(answer.split()[1]), answer

    return await asyncio.gather(*(one(*each) for each in asked))


def test_nothing_but_the_probes_and_the_page_answers_without_a_key(
    keyed: tuple[Served, str], figure: Callable[[str], None]
) -> None:
    served, _ = keyed
    everywhere = sorted({*routes(served), *PATHS} - PROBES - PAGE)
    asked = [(method, path, "localhost") for method, path in itertools.product(METHODS, everywhere)]
    asked += [
        (method, path, "localhost") for method in METHODS if method not in READ_METHODS for path in (*PROBES, *PAGE)
    ]
    asked += [("GET", path, host) for path, host in itertools.product(everywhere, HOSTS)]

    answers = asyncio.run(statuses(served, asked))

    figure(f"auth: {len(asked)} requests without a key over {len(everywhere)} paths: all 401")
    open_ones = [each for each, (status, _) in zip(asked, answers, strict=True) if status != 401]
    assert open_ones == []
    assert all("www-authenticate: bearer" in answer.lower() for _, answer in answers)
    with_body = [answer for (method, *_), (_, answer) in zip(asked, answers, strict=True) if method != "HEAD"]
    assert all(set(json.loads(answer.partition("\r\n\r\n")[2])) == {"error"} for answer in with_body)


def test_the_page_is_the_same_with_a_key_and_without(keyed: tuple[Served, str]) -> None:
    """So it tells nothing of this server, its keys or its models."""
    served, key = keyed
    with serving(fake_settings(), FakeLoader()) as other:
        for path in ("/", *(f"/page/{name}" for name in assets())):
            without, with_key, elsewhere = (
                served.client.get(path),
                served.client.get(path, headers=bearer(key)),
                other.client.get(path),
            )
            assert without.status_code == 200
            assert without.content == with_key.content == elsewhere.content
            assert served.client.head(path).status_code == 200


def test_the_probes_need_no_key_and_no_name(keyed: tuple[Served, str]) -> None:
    served, _ = keyed
    answers = asyncio.run(
        statuses(served, [("GET", path, "10.0.0.7:8000") for path in ("/livez", "/readyz", "/health")])
    )

    assert [status for status, _ in answers] == [200, 200, 200]


@pytest.mark.parametrize(
    "change",
    [
        lambda key: f"Bearer {key}x",
        lambda key: f"Bearer {key[:-1]}",
        lambda key: f"Bearer {key.upper()}",
        lambda key: "Bearer",
        lambda key: key,
        lambda key: f"Basic {key}",
        lambda key: f"Bearer {key}, Bearer {key}",
        lambda key: "Bearer \xff\xfe",
        lambda key: "Bearer " + "x" * 20_000,
    ],
)
def test_a_wrong_key_is_refused(keyed: tuple[Served, str], change: Callable[[str], str]) -> None:
    served, key = keyed

    response = served.client.get("/v1/models", headers=[(b"authorization", change(key).encode("latin-1"))])

    assert (response.status_code, response.json()["error"]["code"]) == (401, "invalid_api_key")
    assert response.json()["error"]["type"] == "authentication_error"
    assert key not in response.text
    assert "tie keys" not in response.text
    assert "ask whoever runs the server for one" in response.json()["error"]["message"]


def test_two_authorizations_are_none(keyed: tuple[Served, str]) -> None:
    served, key = keyed
    header = (b"authorization", f"Bearer {key}".encode())

    assert served.client.get("/v1/models", headers=[header, header]).status_code == 401


def test_with_a_key_all_is_as_ever_and_neither_key_nor_prompt_is_told(keyed: tuple[Served, str]) -> None:
    served, key = keyed

    answered = served.post({"prompt": SECRET_PROMPT}, headers=bearer(key))
    listed = served.client.get("/v1/models", headers=bearer(key))
    missing = served.client.get(f"/{key}", headers=bearer(key))
    bad = served.post({"prompt": SECRET_PROMPT, SECRET_PROMPT: key}, headers=bearer(key))
    metrics = served.client.get("/metrics", headers=bearer(key))

    assert [each.status_code for each in (answered, listed, missing, bad, metrics)] == [200, 200, 404, 400, 200]
    wait_until(lambda: sum(line.get("key") == "mine" for line in served.lines) >= 5)
    everything = listed.text + missing.text + bad.text + metrics.text + served.log.getvalue()
    assert key not in everything
    assert key.removeprefix("tie-") not in everything
    assert "zanzibar" not in everything


def test_a_preflight_of_a_browser_gets_no_permission(keyed: tuple[Served, str]) -> None:
    served, key = keyed
    asks = {"origin": "https://evil.example", "access-control-request-method": "POST"}

    for headers in (asks, asks | bearer(key)):
        for method in ("OPTIONS", "POST"):
            response = served.client.request(method, GENERATE, headers=headers)
            assert not [name for name in response.headers if name.startswith("access-control")]


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_what_a_page_may_send_across_sites_is_refused(content_type: str) -> None:
    with serving(fake_settings(), FakeLoader()) as served:
        headers = {"origin": "https://evil.example", "content-type": content_type}
        assert served.client.post(GENERATE, content=b'{"prompt": "x"}', headers=headers).status_code == 415


@pytest.mark.parametrize(
    ("allowed", "host", "status"),
    [
        ([], "localhost", 200),
        ([], "LOCALHOST:1234", 200),
        ([], "127.0.0.1:80", 200),
        ([], "[::1]:80", 200),
        ([], "evil.example", 421),
        ([], "localhost.evil.example", 421),
        ([], "127.0.0.1.evil.example", 421),
        ([], "localhost:evil", 421),
        ([], "", 421),
        (["tie.example"], "tie.example:8000", 200),
        (["tie.example"], "localhost", 421),
        (["*"], "evil.example", 200),
    ],
)
def test_a_server_without_keys_answers_to_its_names_alone(allowed: list[str], host: str, status: int) -> None:
    from starlette.datastructures import Headers

    from service.errors import ApiError
    from service.gate import Gate

    gate = Gate(None, ServerSettings(allowed_hosts=allowed), AuthSettings(), None)  # type: ignore[arg-type]
    try:
        gate._check_host(Headers({"host": host}))
        found = 200
    except ApiError as error:
        found = error.status

    assert found == status


def test_a_rebound_name_is_refused_over_http() -> None:
    with serving(fake_settings(), FakeLoader()) as served:
        answers = asyncio.run(
            statuses(
                served, [(*each, "evil.example") for each in (("GET", "/v1/models"), ("GET", "/"), ("GET", "/livez"))]
            )
        )

    assert [status for status, _ in answers] == [421, 421, 200]
    assert '"code":"host_not_allowed"' in answers[0][1]


@pytest.mark.parametrize("is_open", [False, True])
def test_metrics_need_a_key_unless_they_are_open(tmp_path: Path, is_open: bool) -> None:
    add_key(tmp_path / "keys.toml", "mine")
    auth = AuthSettings(keys_file=tmp_path / "keys.toml", open_metrics=is_open)
    with serving(fake_settings(auth=auth), FakeLoader()) as served:
        assert served.client.get("/metrics").status_code == (200 if is_open else 401)
        assert served.client.get("/metrics/").status_code == 401


def test_a_check_takes_as_long_among_many_keys_as_among_few(tmp_path: Path, figure: Callable[[str], None]) -> None:
    """So nobody slows the event loop by adding keys, and a guess learns nothing from how long it took."""
    file, few, many = tmp_path / "keys.toml", tmp_path / "few.toml", tmp_path / "many.toml"
    key = add_key(file, "mine")
    few.write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    many.write_text(file.read_text(encoding="utf-8") + entries(5_000), encoding="utf-8")

    async def seconds_of(path: Path) -> float:
        keys = Keys(path, make_logger())
        times = []
        for _ in range(50):
            started = time.thread_time()
            assert (await keys.find(key), await keys.find(key + "x")) != (None, None)
            times.append(time.thread_time() - started)
        return min(times)

    alone, among = asyncio.run(seconds_of(few)), asyncio.run(seconds_of(many))
    figure(f"keys: a check takes {1e6 * alone / 2:.0f} us beside no other key, {1e6 * among / 2:.0f} us among 5,000")
    assert among < 5 * alone + 50e-6


def test_what_a_lookup_compares_with_a_stored_digest_it_compares_in_constant_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dict compares what it finds byte by byte: it may see no digest, and no tag that a client could work out."""
    file = tmp_path / "keys.toml"
    key, compared = add_key(file, "mine"), []
    digest, wrong = sha256(key.encode()).digest(), sha256(b"tie-wrong").digest()

    def compare(*both: bytes) -> bool:
        compared.append(both)
        return compare_digest(*both)

    monkeypatch.setattr(keys_module, "compare_digest", compare)
    one, other = Keys(file, make_logger()), Keys(file, make_logger())
    found = [asyncio.run(one.find(each)) for each in (key, "tie-wrong")]
    tags = [{*keys._table._entries} for keys in (one, other)]

    assert [holder and holder.name for holder in found] == ["mine", None]
    assert compared == [(digest, digest), (keys_module.NO_DIGEST, wrong)]
    assert [len(each) for each in tags] == [1, 1]
    assert not tags[0] & tags[1]
    assert digest not in tags[0] | tags[1]


def test_a_large_file_is_read_beside_the_event_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "keys.toml"
    key = add_key(file, "mine")
    parse, threads = keys_module.parse_keys, []
    keys = Keys(file, make_logger())
    monkeypatch.setattr(
        keys_module, "parse_keys", lambda *given: threads.append(threading.current_thread()) or parse(*given)
    )
    with file.open("a", encoding="utf-8") as opened:
        opened.write(entries(100))
    keys.expire()

    async def ask() -> list[Holder | None]:
        return await asyncio.gather(*(keys.find(key) for _ in range(20)))

    found = asyncio.run(ask())

    assert [holder.name for holder in found if holder is not None] == ["mine"] * 20
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()


def entries(number: int) -> str:
    """So many keys that nobody has."""
    return "".join(f'[[keys]]\nname = "k{each}"\nsha256 = "{each:064x}"\n' for each in range(number))


def find(keys: Keys, key: str) -> Holder | None:
    return asyncio.run(keys.find(key))


class Told:
    """A log that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, object]]] = []

    def info(self, event: str, **fields: object) -> None:
        self.lines.append((event, fields))

    error = info


@pytest.fixture
def two_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str, str, Keys, Told]:
    """A file with two keys, and what was made of it; looked at on every find."""
    file, told = tmp_path / "keys.toml", Told()
    first, second = add_key(file, "first"), add_key(file, "second")
    keys = Keys(file, told)  # type: ignore[arg-type]
    monkeypatch.setattr(keys_module, "LOOK_SECONDS", 0.0)
    return file, first, second, keys, told


def test_keys_are_read_again_when_the_file_changes(two_keys: tuple[Path, str, str, Keys, Told]) -> None:
    file, first, second, keys, told = two_keys

    third = add_key(file, "third")
    assert [find(keys, key) is not None for key in (first, second, third)] == [True] * 3
    others = file.read_text(encoding="utf-8").split("[[keys]]", 2)[2]
    file.write_text("[[keys]]" + others, encoding="utf-8")
    assert [find(keys, key) is not None for key in (first, second, third)] == [False, True, True]
    assert not {first, second, third} & set(json.dumps(told.lines).split('"'))


@pytest.mark.parametrize("text", ["", "keys = []", "# nothing", None])
def test_a_file_without_keys_lets_nobody_in(two_keys: tuple[Path, str, str, Keys, Told], text: str | None) -> None:
    file, first, second, keys, told = two_keys
    if text is None:
        file.unlink()
    else:
        file.write_text(text, encoding="utf-8")

    assert (find(keys, first), find(keys, second)) == (None, None)
    assert told.lines
    keys.expire()
    assert find(keys, first) is None
    new = add_key(file, "new") if text != "keys = []" else None
    assert new is None or find(keys, new) is not None


@pytest.mark.parametrize(
    "mistake",
    [
        "\n[[keys",
        "\n[[keys]]\nname = 'a b'\nsha256 = 'x'",
        "\n\xff",
        "\nquota = 1",
        "\n# " + 1_000_000 * "x",
        "\n" + 2_000 * "[",
    ],
    ids=["cut", "entry", "bytes", "field", "long", "deep"],
)
@pytest.mark.parametrize("comment", ["", "# "])
def test_of_a_broken_file_only_what_still_stands_in_it_is_valid(
    two_keys: tuple[Path, str, str, Keys, Told], mistake: str, comment: str
) -> None:
    """Also where the entry was made a comment."""
    file, first, second, keys, told = two_keys
    head, *found = file.read_text(encoding="utf-8").split("[[keys]]")
    taken_back = "".join(f"{comment}{line}\n" for line in found[0].splitlines()) if comment else ""
    file.write_text(head + taken_back + "[[keys]]" + found[1] + mistake, encoding="latin-1")

    holder = find(keys, second)

    assert holder is not None
    assert (holder.name, find(keys, first)) == ("second", None)
    assert any("not reloaded" in event and fields["names"] == ["second"] for event, fields in told.lines)


def test_a_key_that_was_taken_back_is_refused_over_http(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "keys.toml"
    key = add_key(file, "mine")
    monkeypatch.setattr(keys_module, "LOOK_SECONDS", 0.1)
    with serving(fake_settings(auth=AuthSettings(keys_file=file)), FakeLoader()) as served:
        before = served.client.get("/v1/models", headers=bearer(key)).status_code
        file.write_text("", encoding="utf-8")
        time.sleep(0.15)
        after = served.client.get("/v1/models", headers=bearer(key)).status_code

    assert (before, after) == (200, 401)


def test_the_file_is_looked_at_no_more_than_every_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "keys.toml"
    key = add_key(file, "first")
    keys = Keys(file, make_logger())
    looks: list[Path] = []
    stamp = keys_module._stamp
    monkeypatch.setattr(keys_module, "_stamp", lambda path: looks.append(path) or stamp(path))

    async def ask() -> None:
        for _ in range(1_000):
            await keys.find(key)

    asyncio.run(ask())

    assert len(looks) <= 2


def test_a_hangup_reads_the_keys_again(keyed: tuple[Served, str]) -> None:
    served, key = keyed
    assert served.server.keys is not None
    served.server.handle_hangup(signal.SIGHUP, None)

    assert served.client.get("/v1/models", headers=bearer(key)).status_code == 200
    wait_until(lambda: any(line["event"] == "keys reloaded" for line in served.lines))


def test_a_process_that_is_hung_up_reads_the_keys_and_serves_on(tmp_path: Path) -> None:
    """The file looks unchanged, as after a quick edit, so that nothing but the signal makes it be read."""
    file, other = tmp_path / "keys.toml", tmp_path / "other.toml"
    old, new = add_key(file, "mine"), add_key(other, "mine")
    before = file.stat()
    settings = fake_settings(auth=AuthSettings(keys_file=file))
    with serving_process(settings, FakeLoader, tmp_path / "log") as process:

        def status(key: str) -> int:
            return httpx.get(f"{process.url}/v1/models", headers=bearer(key), trust_env=False).status_code

        file.write_text(other.read_text(encoding="utf-8"), encoding="utf-8")
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        time.sleep(keys_module.LOOK_SECONDS * 1.2)
        assert (status(old), status(new)) == (200, 401)

        assert process.process.pid is not None
        os.kill(process.process.pid, signal.SIGHUP)
        wait_until(lambda: (status(old), status(new)) == (401, 200))
        assert process.exit_status(0) is None
        assert "keys reloaded" in process.log()
        assert not [key for key in (old, new) if key in process.log()]


@pytest.mark.parametrize("text", ["", "keys = []", "x", "[[keys]]\nname = 'a'", "[[keys]]\nname='a'\nsha256='zz'\n"])
def test_a_server_does_not_start_with_a_broken_file_of_keys(tmp_path: Path, text: str) -> None:
    file = tmp_path / "keys.toml"
    file.write_text(text, encoding="utf-8")

    with pytest.raises(SettingsError, match="keys file"):
        Keys(file, make_logger())


def test_a_new_key_is_long_stored_as_a_hash_and_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"

    key = add_key(file, "mine")

    assert len(key) >= 40
    assert key not in file.read_text(encoding="utf-8")
    assert file.stat().st_mode & 0o077 == 0
    with pytest.raises(SettingsError, match="already"):
        add_key(file, "mine")
    with pytest.raises(SettingsError, match="letters"):
        add_key(file, 'a"\nb')


@pytest.mark.parametrize("end", ["", "\n", "\n\n"])
def test_a_new_key_leaves_what_the_file_has(tmp_path: Path, end: str) -> None:
    file = tmp_path / "keys.toml"
    add_key(file, "first")
    file.write_text(file.read_text(encoding="utf-8").rstrip() + "\nconcurrent_requests = 4" + end, encoding="utf-8")
    file.chmod(0o640)

    key = add_key(file, "second")

    holders = list(read_keys(file).values())
    assert [(holder.name, holder.quota.concurrent_requests) for holder in holders] == [("first", 4), ("second", None)]
    assert find(Keys(file, make_logger()), key) == holders[1]
    assert file.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("text", ["keys = []", "keys = [", '[[keys]]\nname = """', "\xff"])
def test_a_file_that_a_new_key_would_break_stays_as_it_is(tmp_path: Path, text: str) -> None:
    file = tmp_path / "keys.toml"
    file.write_text(text, encoding="latin-1")

    with pytest.raises(SettingsError, match="keys file"):
        add_key(file, "mine")

    assert file.read_text(encoding="latin-1") == text


def test_beyond_the_bound_on_connections_only_probes_answer() -> None:
    with serving(fake_settings(limits=LimitSettings(max_connections=4)), FakeLoader()) as served:
        served.client.close()
        wait_until(lambda: not served.server.server_state.connections)
        idle = [httpx.Client(base_url=served.url) for _ in range(4)]
        try:
            for client in idle:
                assert client.get("/livez").status_code == 200
            refused, alive = asyncio.run(statuses(served, [("GET", "/v1/models", "localhost"), ("GET", "/livez", "x")]))
        finally:
            for client in idle:
                client.close()

        assert refused[0] == 503
        assert '"code":"too_many_connections"' in refused[1]
        assert "retry-after: 1" in refused[1].lower()
        assert alive[0] == 200
        wait_until(lambda: not served.server.server_state.connections)
        time.sleep(0)
