"""The house keeps its own rules: documents agree with the code, and files that no program runs are valid."""

import ast
import re
import runpy
import sys
import tomllib
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, get_args

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import tie_core
from service.configuration import load_settings
from service.settings import (
    AuthSettings,
    EnsembleSettings,
    LimitSettings,
    ModelSettings,
    RaySettings,
    ServerSettings,
    Settings,
    TelemetrySettings,
)
from tests.contracts import committed, complaint
from tie_core.events import Event

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("tie_core", "service")
LONGEST_FILE = 320  # lines; "rarely over 300"
DISTRIBUTIONS = {
    "prometheus_client": "prometheus-client",
    "opentelemetry": "opentelemetry-sdk",
}  # where the import's name is not the distribution's


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def project() -> dict[str, object]:
    return tomllib.loads(read("pyproject.toml"))["project"]


def runtime_requirements() -> list[Requirement]:
    return [Requirement(line) for line in project()["dependencies"]]


def extra_requirements() -> list[Requirement]:
    """What the optional extras of the product and its documentation need."""
    extras = {name: lines for name, lines in project()["optional-dependencies"].items() if name != "dev"}
    return [Requirement(line) for lines in extras.values() for line in lines]


def dev_requirements() -> list[Requirement]:
    """What is installed for the tests: the other extras, and what they need themselves."""
    dev = map(Requirement, project()["optional-dependencies"]["dev"])
    return [*extra_requirements(), *(requirement for requirement in dev if requirement.name != project()["name"])]


def documents() -> list[Path]:
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def shell_commands(document: str) -> Iterator[str]:
    for block in re.findall(r"^```(?:sh|shell|bash|console)\n(.*?)^```", document, re.MULTILINE | re.DOTALL):
        yield from (line.removeprefix("$ ").strip() for line in block.splitlines() if line.strip())


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", read("Makefile"), re.MULTILINE))


def anchors(document: str) -> set[str]:
    """The fragments that a document's headings can be linked by."""
    headings = re.findall(r"^#+ +(.+)$", document, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_make_command_of_a_document_is_a_target(document: Path) -> None:
    commands = [line.split() for line in shell_commands(document.read_text(encoding="utf-8"))]

    asked = {word for words in commands if words[0] == "make" for word in words[1:] if "=" not in word}

    assert asked <= make_targets()


def test_readme_opens_with_the_demo_and_the_tests() -> None:
    commands = list(shell_commands(read("README.md")))

    assert "make demo" in commands
    assert "make test" in commands


def test_every_target_is_phony_and_explained() -> None:
    makefile = read("Makefile")

    phony = set(re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE).group(1).split())
    explained = set(re.findall(r"^([a-z]+):.*## .+$", makefile, re.MULTILINE))

    assert phony == explained == make_targets()


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_documents_resolve(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]

    for link in links:
        path, _, fragment = link.partition("#")
        target = document.parent / path if path else document
        assert target.exists(), f"{link} leads nowhere"
        assert not fragment or fragment in anchors(target.read_text(encoding="utf-8")), f"{link}: no such heading"


@pytest.mark.parametrize("requirement", [*runtime_requirements(), *dev_requirements()], ids=lambda it: it.name)
def test_every_dependency_has_a_reason(requirement: Requirement) -> None:
    assert re.search(rf"^- `{re.escape(requirement.name)}`: \S", read("docs/decisions.md"), re.MULTILINE)


@pytest.mark.parametrize("requirement", [*runtime_requirements(), *dev_requirements()], ids=lambda it: it.name)
def test_the_tested_version_lies_in_the_range(requirement: Requirement) -> None:
    lines = [line for line in read("constraints.txt").splitlines() if not line.startswith("#")]
    tested = {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines)}

    assert requirement.specifier.contains(tested[canonicalize_name(requirement.name)])


def test_the_tests_have_every_optional_extra() -> None:
    extras = project()["optional-dependencies"]
    (own,) = (each for each in map(Requirement, extras["dev"]) if each.name == project()["name"])

    assert own.extras == extras.keys() - {"dev"}


def test_constraints_choose_no_build_of_torch() -> None:
    assert "+" not in "".join(line for line in read("constraints.txt").splitlines() if line.startswith("torch"))


@pytest.mark.parametrize("path", ["Makefile", "README.md", "CONTRIBUTING.md", ".ci/run", "docker/Dockerfile"])
def test_every_install_uses_the_constraints(path: str) -> None:
    installs = [line for line in read(path).splitlines() if re.search(r"(pip|PIP\)) install", line)]

    assert all("-c constraints.txt" in line for line in installs)


@pytest.mark.parametrize("package", PACKAGES)
def test_what_is_imported_is_declared(package: str) -> None:
    requirements = [*runtime_requirements(), *extra_requirements()]
    declared = {canonicalize_name(requirement.name) for requirement in requirements}
    ours = {*PACKAGES, *sys.stdlib_module_names}

    for path in modules(package):
        imported = {name.partition(".")[0] for name in _imports(path)} - ours
        undeclared = {name for name in imported if canonicalize_name(DISTRIBUTIONS.get(name, name)) not in declared}
        assert not undeclared, f"{path.relative_to(ROOT)} imports {undeclared}"


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None
            yield node.module


@pytest.mark.parametrize("package", PACKAGES)
def test_no_file_is_too_long(package: str) -> None:
    lengths = {path.relative_to(ROOT): len(path.read_text(encoding="utf-8").splitlines()) for path in modules(package)}

    assert not {path: length for path, length in lengths.items() if length > LONGEST_FILE}


@pytest.mark.parametrize("package", PACKAGES)
def test_files_are_named_after_what_they_hold(package: str) -> None:
    assert not {path.stem for path in modules(package)} & {
        "utils",
        "util",
        "common",
        "helpers",
        "base",
        "misc",
    }


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_says_what_it_is(package: str) -> None:
    undocumented = [path for path in modules(package) if not ast.get_docstring(ast.parse(path.read_text()))]

    assert undocumented == []


@pytest.mark.parametrize("script", sorted((ROOT / "service" / "page").glob("*.js")), ids=lambda path: path.name)
def test_scripts_keep_the_rules_of_modules(script: Path) -> None:
    lines = script.read_text(encoding="utf-8").splitlines()

    assert lines[0].startswith("/** ")
    assert len(lines) <= LONGEST_FILE
    assert max(map(len, lines)) <= 120


def test_the_version_is_written_once() -> None:
    assert project()["dynamic"] == ["version"]
    assert Version(tie_core.__version__)
    written = [path for package in PACKAGES for path in modules(package) if "__version__ =" in path.read_text()]
    assert written == [ROOT / "tie_core" / "__init__.py"]


def test_the_changelog_knows_the_version_or_what_comes_next() -> None:
    assert re.search(rf"^## \[(Unreleased|{re.escape(tie_core.__version__)})\]", read("CHANGELOG.md"), re.MULTILINE)


def test_the_map_of_files_is_up_to_date() -> None:
    page = read("docs/architecture.md")

    assert page == runpy.run_path(str(ROOT / "docs" / "map_files.py"))["page_with_map"](page), "run `make fmt`"


@pytest.fixture(scope="module")
def contracts() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "docs" / "write_contracts.py"))["contracts"]()


@pytest.mark.parametrize("name", ["openapi.json", "events.json"])
def test_the_contracts_are_what_the_code_says(name: str, contracts: dict[str, Any]) -> None:
    assert not (words := complaint(name, committed(name), contracts[name])), words


def test_a_change_that_breaks_clients_is_noticed_and_says_what_to_do(contracts: dict[str, Any]) -> None:
    old, new = contracts["events.json"], deepcopy(contracts["events.json"])
    ended = new["$defs"]["tie.round"]
    del ended["properties"]["leader"]
    ended["required"].remove("leader")
    new["$defs"]["tie.answer"]["properties"]["fraction"]["type"] = "string"

    words = complaint("events.json", old, new)

    assert "gone     /$defs/tie.round/properties/leader" in words
    assert 'changed  /$defs/tie.answer/properties/fraction/type: "number" -> "string"' in words
    assert "make fmt" in words
    assert "CHANGELOG.md" in words
    assert complaint("events.json", old, deepcopy(old)) is None


def settings_page() -> str:
    return runpy.run_path(str(ROOT / "docs" / "list_settings.py"))["settings_page"]()


def test_every_setting_is_on_its_page_with_a_meaning() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .+ \| ([^|]+) \|$", settings_page(), re.MULTILINE)

    sections = (
        ServerSettings,
        AuthSettings,
        ModelSettings,
        EnsembleSettings,
        LimitSettings,
        RaySettings,
        TelemetrySettings,
    )
    assert [name for name, _ in rows] == [name for section in sections for name in section.model_fields]
    assert all(meaning.endswith(".") for _, meaning in rows)


def test_a_variable_of_the_page_with_its_default_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = re.findall(r"\| `([^`]+)` \| `(TIE_\w+__\w+)` \|", settings_page())
    for default, variable in defaults:
        monkeypatch.setenv(variable, default.strip('"'))

    assert len(defaults) > 20
    assert load_settings() == Settings()


def test_the_architecture_page_draws_the_layers_of_the_contract() -> None:
    contracts = tomllib.loads(read("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    (layers,) = [contract["layers"] for contract in contracts if contract["id"] == "core-layers"]

    drawn = re.search(r"^```\n(evaluation.*?)^```", read("docs/architecture.md"), re.MULTILINE | re.DOTALL).group(1)

    names = [re.split(r"\s{3,}", line)[0].split() for line in drawn.splitlines()]
    assert names == [layer.split(" | ") for layer in layers]


def test_the_architecture_page_lists_every_event() -> None:
    listed = set(re.findall(r"^\| `(tie\.\w+)` \|", read("docs/architecture.md"), re.MULTILINE))

    assert listed == {event.type for event in get_args(Event)}


def test_the_paper_map_names_functions_and_tests_that_exist() -> None:
    page = read("docs/paper-map.md")
    references = re.findall(r"`([\w/]+\.py)::(\w+)(?:\.(\w+))?`", page)

    assert references
    for path, name, attribute in references:
        assert re.search(rf"^\s*(?:async )?(?:def|class) {name}\b|^{name}\b.*=", read(path), re.MULTILINE), (
            path,
            name,
        )
        assert not attribute or re.search(rf"\bdef {attribute}\b|^ +{attribute}:", read(path), re.MULTILINE)
