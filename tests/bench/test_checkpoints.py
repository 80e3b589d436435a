"""The random checkpoints that are timed load as members, whatever shape they were given."""

from pathlib import Path

import pytest

from bench import checkpoints
from bench.checkpoints import family_of, write_random
from bench.cost_model import shape_of
from tests.members import GOLDEN
from tie_core.member import load_member
from tie_core.zoo import member_path


def test_a_widened_vocabulary_commits_any_row_but_the_mask(tmp_path: Path) -> None:
    path = write_random(
        member_path("zoo-llada"), tmp_path / "wide", seed=4, num_rows=2000, mask_token_id=1900, eos_token_id=1800
    )

    member = load_member("wide", path)

    assert member.vocabulary.mask_id == 1900
    assert member.vocabulary.eos_id == 1800
    assert member.vocabulary.forbidden_ids(2000) == (1900,)
    assert member.vocabulary.decode(member.vocabulary.encode("rev 12")) == "rev 12"


def test_a_twin_has_the_same_tokenizer_and_other_weights(tmp_path: Path) -> None:
    first, second = (write_random(GOLDEN / "dream-tiny", tmp_path / str(seed), seed=seed) for seed in (1, 2))

    one, other = load_member("one", first), load_member("other", second)

    assert one.vocabulary.fingerprint == other.vocabulary.fingerprint
    assert (first / "model.safetensors").read_bytes() != (second / "model.safetensors").read_bytes()


def test_a_shape_can_be_asked_for(tmp_path: Path) -> None:
    path = write_random(
        member_path("zoo-llada"), tmp_path / "deep", seed=1, max_length=4096, n_layers=2, mlp_hidden_size=96
    )

    member = load_member("deep", path)

    assert member.model.max_positions == 4096


def test_without_the_shared_folder_checkpoints_of_its_shape_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "SHARED", tmp_path / "nowhere")
    made = checkpoints.Checkpoints(tmp_path)

    shapes = [shape_of(family_of(path)[1]) for path in (made.llada, made.twin, made.dream)]

    assert [(shape.width, shape.num_layers, shape.mlp_width) for shape in shapes] == [(256, 4, 768)] * 3
    llada = load_member("llada", made.llada)
    assert llada.vocabulary.forbidden_ids(4480) == (llada.vocabulary.mask_id,)
    assert load_member("dream", made.dream).model.logits_are_shifted
