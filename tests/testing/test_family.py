"""Our own families conform, and every check finds the wrong families that were made for it."""

import shutil
from pathlib import Path

import pytest

from tests.members import GOLDEN
from tests.testing.plants import KNOWN, PLANTS, planted, sound
from tie_core.testing import FAMILY_CHECKS, NotChecked, check_family, findings, load_specimen
from tie_core.zoo import MEMBERS, member_path

RECORDED = {"llada-tiny": "llada", "llada-tiny-gqa": "llada_gqa", "dream-tiny": "dream", "a2d-qwen3-tiny": "a2d_qwen3"}
EVERY_PLANT = [(check, words) for check, plants in PLANTS.items() for words in plants]


@pytest.fixture(scope="module")
def a2d(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The golden checkpoint has no tokenizer: Dream's has as many tokens, and the mask where this one's is."""
    folder = tmp_path_factory.mktemp("a2d") / "a2d-qwen3-tiny"
    shutil.copytree(GOLDEN / "a2d-qwen3-tiny", folder)
    for name in ("vocab.json", "merges.txt", "added_tokens.json", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copy(GOLDEN / "dream-tiny" / name, folder)
    return folder


@pytest.mark.parametrize("name", RECORDED)
def test_the_golden_checkpoints_conform(name: str, a2d: Path) -> None:
    folder = a2d if name == "a2d-qwen3-tiny" else GOLDEN / name

    found = list(
        findings(FAMILY_CHECKS, load_specimen(folder, recorded=GOLDEN / f"{RECORDED[name]}_forward.safetensors"))
    )

    assert not [finding for finding in found if finding.verdict == "broken"]
    assert [finding.check for finding in found if finding.verdict == "not checked"] == ["known reply"]


@pytest.mark.parametrize("name", MEMBERS)
def test_the_zoo_conforms(name: str) -> None:
    found = list(findings(FAMILY_CHECKS, load_specimen(member_path(name), known=KNOWN)))

    assert not [finding for finding in found if finding.verdict == "broken"]
    assert [finding.check for finding in found if finding.verdict == "not checked"] == ["recorded"]


def test_a_narrow_type_conforms_within_its_noise() -> None:
    check_family(member_path("zoo-dream"), dtype="bfloat16", known=KNOWN)


@pytest.mark.parametrize(("check", "words"), EVERY_PLANT)
def test_a_check_finds_what_it_is_there_for(check: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    specimen = planted(PLANTS[check][words], monkeypatch)

    with pytest.raises(AssertionError) as broken:
        FAMILY_CHECKS[check](specimen)

    assert words in str(broken.value)


def test_every_check_has_a_plant() -> None:
    assert PLANTS.keys() == FAMILY_CHECKS.keys()


def test_one_call_tells_all_that_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    specimen = planted(PLANTS["shapes"]["not [3, 544]"], monkeypatch)
    monkeypatch.setattr("tie_core.testing.family.load_specimen", lambda *_: specimen)

    with pytest.raises(AssertionError) as broken:
        check_family("somewhere")

    first, *others = str(broken.value).splitlines()
    assert first == "somewhere: 2 checks are broken"
    assert [line.split(":")[0].strip() for line in others] == ["shapes", "shift"]


@pytest.mark.parametrize("check", ["known reply", "recorded"])
def test_a_check_that_lacks_something_says_what(check: str) -> None:
    with pytest.raises(NotChecked, match="give a"):
        FAMILY_CHECKS[check](load_specimen(GOLDEN / "dream-tiny"))


def test_a_check_that_raises_anything_is_broken() -> None:
    def check(specimen: object) -> None:
        raise KeyError("n_layers")

    (finding,) = findings({"mine": check}, sound())

    assert (finding.verdict, finding.words) == ("broken", "raised KeyError: 'n_layers'")


def test_a_model_without_a_chat_template_is_asked_raw(tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    shutil.copytree(GOLDEN / "dream-tiny", folder)
    config = (folder / "tokenizer_config.json").read_text(encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(config.replace("chat_template", "no_template"), encoding="utf-8")

    with pytest.raises(NotChecked, match="no chat template"):
        FAMILY_CHECKS["chat"](load_specimen(folder))
