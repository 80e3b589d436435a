"""Weaker copies of zoo members: ordinary checkpoints that misread the task's words, by as much as is asked for."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from bench import weaken
from tie_core import zoo
from tie_core.member import load_member

NAME = zoo.MEMBERS[1]
SOURCE = zoo.member_path(NAME)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / weaken.WEIGHTS)


def test_a_copy_loads_as_its_original_and_differs_in_words_that_no_answer_has(tmp_path: Path) -> None:
    weaken.misread(SOURCE, 0.4, tmp_path / "copy")

    before, after = weights(SOURCE), weights(tmp_path / "copy")
    (changed,) = (name for name in before if not torch.equal(before[name], after[name]))
    rows = (before[changed] != after[changed]).any(1).nonzero().flatten().tolist()
    encode = load_member("copy", tmp_path / "copy", "cpu", "float32").vocabulary.encode
    assert changed in weaken.EMBEDDINGS
    assert rows
    assert not set(rows) & set(encode("00112233445566778899"))


def test_a_copy_is_the_same_every_time_and_the_original_at_share_0(tmp_path: Path) -> None:
    for name, share in {"one": 0.4, "other": 0.4, "original": 0.0}.items():
        weaken.misread(SOURCE, share, tmp_path / name)

    one, other, original = (weights(tmp_path / name) for name in ("one", "other", "original"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert all(torch.equal(original[name], tensor) for name, tensor in weights(SOURCE).items())


def test_the_share_is_found_that_leaves_as_many_points_as_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = []

    def misread(source: Path, share: float, out: Path) -> None:
        shares.append(share)

    def accuracy(checkpoint: Path, num_items: int) -> float:
        return 0.5 if checkpoint == zoo.member_path(zoo.MEMBERS[0]) else 0.6 - shares[-1]

    monkeypatch.setattr(weaken, "misread", misread)
    monkeypatch.setattr(weaken, "accuracy", accuracy)
    found = weaken.weaken(NAME, zoo.MEMBERS[0], 30, tmp_path)

    assert found == pytest.approx(0.2, abs=1 / 2**weaken.MAX_STEPS)
    assert shares[-1] == pytest.approx(0.4, abs=1 / 2**weaken.MAX_STEPS)
