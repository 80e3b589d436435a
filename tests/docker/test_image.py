"""The images, as far as can be told without building them: what they are made of, how they start, what they touch."""

import json
import os
import re
import subprocess
from functools import partial
from pathlib import Path
from urllib.request import urlopen

import pytest

from service.configuration import load_settings
from service.settings import Settings, SettingsError
from tests.docker.programs import DOCKER, ROOT, check, program
from tests.service.fakes import FakeLoader, fake_settings
from tests.service.served import serving, wait_until

DOCKERFILE = (DOCKER / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
READ_ONLY = (
    'mount -o remount,bind,ro / && mount -t tmpfs tmpfs "$TMPDIR" && ! touch /read-only-probe 2>/dev/null && exec "$@"'
)


def instructions(name: str) -> list[str]:
    return re.findall(rf"^\s*{name} (.+)$", DOCKERFILE, re.MULTILINE)


def stages() -> dict[str, str]:
    """Each stage with what it is made from."""
    return {name: source for source, name in re.findall(r"^FROM (\S+) AS (\S+)$", DOCKERFILE, re.MULTILINE)}


def environment(words: str = "") -> dict[str, str]:
    return dict(re.findall(rf"\b({words or '[A-Z_]+'})=(\S+)", " ".join(instructions("ENV"))))


def start_command() -> list[str]:
    """The entry point and its arguments: what runs in a container."""
    (entry,), (arguments,) = instructions("ENTRYPOINT"), instructions("CMD")[-1:]
    return [*json.loads(entry), *json.loads(arguments)]


def health_command() -> list[str]:
    (command,) = re.findall(r"^HEALTHCHECK .*? CMD (\[.+\])$", DOCKERFILE, re.MULTILINE)
    return list(json.loads(command))


def load_as_image(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    """The settings of a container that is started with these variables."""
    for name, value in (environment(r"TIE_\w+") | variables).items():
        monkeypatch.setenv(name, value)
    _, _, *words = start_command()
    options = {flag.removeprefix("--"): value for flag, value in zip(words[::2], words[1::2], strict=True)}
    return load_settings(host=options["host"], port=int(options["port"]))


def test_the_dockerfile_passes_hadolint() -> None:
    check("hadolint", "docker/Dockerfile")


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_both_images_are_targets_made_of_the_runtime_stage(target: str) -> None:
    assert stages()[target] == "runtime"
    assert f"COPY --from=installed-{target} /opt/tie /opt/tie" in DOCKERFILE


def test_every_base_is_a_stage_or_an_exact_version() -> None:
    bases = {source for source in stages().values() if source not in stages()}

    assert bases
    assert all(re.search(r":\d+\.\d+\.\d+-", base) for base in bases), bases


def test_everything_that_is_copied_is_there_and_reaches_the_build() -> None:
    copied = [path for words in instructions("COPY") if "--from" not in words for path in words.split()[:-1]]
    kept = (DOCKER / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()

    assert {"pyproject.toml", "constraints.txt", "tie_core", "service"} <= set(copied)
    for path in copied:
        assert (ROOT / path).exists(), path
        assert f"!{path}" in kept, f"{path} is not in Dockerfile.dockerignore"
    assert kept[0] == "*"


def test_nobody_is_root_in_a_container() -> None:
    assert instructions("USER") == ["10001"]
    assert DOCKERFILE.index("USER 10001") < DOCKERFILE.index("ENTRYPOINT")


def test_a_container_starts_with_keys_or_where_it_is_told_that_anybody_may_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    with_keys = load_as_image(monkeypatch, TIE_AUTH__KEYS_FILE="keys.toml")
    monkeypatch.delenv("TIE_AUTH__KEYS_FILE")
    for_anybody = load_as_image(monkeypatch, TIE_SERVER__ALLOW_PUBLIC="true")

    for settings in (with_keys, for_anybody):
        assert settings.server.host == "0.0.0.0"
        assert f"EXPOSE {settings.server.port}" in DOCKERFILE
        assert f"127.0.0.1:{settings.server.port}/livez" in health_command()[-1]


def test_a_container_that_is_told_nothing_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="TIE_SERVER__ALLOW_PUBLIC=true"):
        load_as_image(monkeypatch)


def run_health_command(url: str) -> int:
    _, *arguments = [word.replace("http://127.0.0.1:8000", url) for word in health_command()]
    return subprocess.run([program("python"), *arguments], capture_output=True, timeout=30, check=False).returncode


def test_the_health_check_tells_a_running_server_from_none() -> None:
    with serving(fake_settings(), FakeLoader()) as served:
        while_running = run_health_command(served.url)

    assert (while_running, run_health_command(served.url)) == (0, 1)


@pytest.mark.slow
def test_the_server_runs_on_a_read_only_file_system(tmp_path: Path) -> None:
    """As the image starts it, on another address; nothing but the folder for temporary files can be written."""
    unshare = [program("unshare"), "-Urm", "sh", "-c"]
    if subprocess.run([*unshare, "mount -o remount,bind,ro /"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody make a name space of mounts")
    _, *words = [{"0.0.0.0": "127.0.0.1", "8000": "0"}.get(word, word) for word in start_command()]
    variables = os.environ | environment(r"HF_\w+|PYTHON\w+") | {"TMPDIR": str(tmp_path)}
    command = [*unshare, READ_ONLY, "-", program("tie"), *words]
    with subprocess.Popen(
        command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        try:
            assert server.stdout is not None
            url = re.search(r"http://\S+", server.stdout.readline())
            assert url is not None, "it did not start"
            wait_until(partial(is_ready, url[0]), 90)
        finally:
            server.terminate()
        assert server.wait(30) == 0


def is_ready(url: str) -> bool:
    try:
        with urlopen(f"{url}/readyz", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False
