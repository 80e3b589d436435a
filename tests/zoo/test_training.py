"""The parts of the recipe: dosage, courses, optimiser, schedule, padding."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from tie_core.zoo import MEMBERS, MemberName, train
from tie_core.zoo.dosage import CORRECTIVE_GAIN, FOREIGN_SHARE, FOREIGN_TARGET, Dosage
from tie_core.zoo.members import RECIPES
from tie_core.zoo.muon import orthogonalise
from tie_core.zoo.network import Network
from tie_core.zoo.practice import EVERYTHING, PLAIN, probed_sheets
from tie_core.zoo.probe import predict
from tie_core.zoo.skills import FAMILIES, OPERATIONS
from tie_core.zoo.train import WARMUP_STEPS, rate_at, strength_at

NAMES = list(OPERATIONS)
MEMBER = RECIPES["zoo-llada"]
IS_OWN = np.array([name in MEMBER.expert_operations for name in NAMES])
EVENLY = dict.fromkeys(OPERATIONS, 1.0)


def observed(accuracies: np.ndarray, times: int) -> Dosage:
    dosage = Dosage(MEMBER)
    for _ in range(times):
        dosage.observe(accuracies)
    return dosage


def test_dosage_starts_with_a_small_foreign_share_in_each_family() -> None:
    shares = Dosage(MEMBER).shares()

    for family in FAMILIES:
        foreign = sum(shares[name] for name in family.operations if name not in MEMBER.expert_operations)
        assert np.isclose(sum(shares[name] for name in family.operations), 1)
        assert np.isclose(foreign, FOREIGN_SHARE)


def test_unknown_foreign_operation_gets_more_and_a_perfect_one_next_to_nothing() -> None:
    accuracies = np.where(IS_OWN, 1.0, 0.0)
    accuracies[NAMES.index("add")] = 1.0

    shares = observed(accuracies, 10).shares()

    assert shares["hlf"] > 2 * FOREIGN_SHARE / 6
    assert shares["add"] < 0.1 * FOREIGN_SHARE / 6


def test_a_family_that_is_known_too_well_gets_no_foreign_line_and_the_other_one_does() -> None:
    is_tracing = np.array([name in FAMILIES[0].operations for name in NAMES])

    shares = observed(np.where(IS_OWN, 1.0, np.where(is_tracing, 0.9, 0.0)), 10).shares()

    assert shares["hlf"] == 0
    assert shares["low"] > 0


def test_worst_own_operation_is_drawn_most() -> None:
    accuracies = np.where(IS_OWN, 1.0, FOREIGN_TARGET)
    accuracies[NAMES.index("rtl")] = 0.5

    shares = observed(accuracies, 10).shares()

    assert max(FAMILIES[0].operations, key=shares.__getitem__) == "rtl"


def test_distance_is_zero_at_the_aim() -> None:
    assert Dosage(MEMBER).distance(np.where(IS_OWN, 1.0, FOREIGN_TARGET)) < 1e-9


def test_what_is_known_too_well_is_drawn_no_more_when_training_ends_and_the_rest_a_little() -> None:
    is_tracing = np.array([name in FAMILIES[0].operations for name in NAMES])
    accuracies = np.where(IS_OWN, 1.0, np.where(is_tracing, FOREIGN_TARGET + 0.1, FOREIGN_TARGET - 0.1))
    accuracies[NAMES.index("low")] = 0.0

    shares = Dosage(MEMBER).corrective_shares(accuracies)
    foreign = {name: share for name, share in shares.items() if name not in MEMBER.expert_operations}

    assert {name for name, share in foreign.items() if share} == {"lst", "med", "low"}
    assert max(foreign, key=foreign.__getitem__) == "low"
    missing = FOREIGN_TARGET - 2 * (FOREIGN_TARGET - 0.1) / 3  # in the mean of lst, med and low
    assert np.isclose(sum(foreign.values()), CORRECTIVE_GAIN * missing)
    assert np.isclose(sum(shares.values()), len(FAMILIES))


def test_courses_draw_what_they_say() -> None:
    plain = PLAIN.draw(random.Random(1), EVENLY, 300)
    everything = EVERYTHING.draw(random.Random(1), EVENLY, 600)

    assert {len(sheet.lines) for sheet in plain} == {3}
    assert not any(line.name in FAMILIES[1].operations for sheet in plain for line in sheet.lines)
    assert {len(sheet.lines) for sheet in everything} == {2, 3}
    assert any(line.operand is None for sheet in everything for line in sheet.lines)
    in_tables = [sheet for sheet in everything if sheet.lines[0].name in FAMILIES[1].operations]
    assert 0.2 < len(in_tables) / len(everything) < 0.4


def test_every_operation_is_probed_as_often_and_at_every_place() -> None:
    probed = probed_sheets(random.Random(1), 12)

    assert [sheet.lines[place].name for sheet, place in probed] == [name for name in NAMES for _ in range(12)]
    assert {(len(sheet.lines), place) for sheet, place in probed} == {(2, 0), (2, 1), (3, 0), (3, 1), (3, 2)}


@pytest.mark.parametrize("name", MEMBERS)
def test_padding_changes_no_prediction(name: MemberName) -> None:
    torch.manual_seed(3)
    network = Network(RECIPES[name].shape)
    ids = torch.randint(0, 300, (2, 20))
    padded = torch.cat((torch.full((2, 5), -1), ids), dim=1)

    with torch.no_grad():
        torch.testing.assert_close(network(padded, 20), network(ids, 20), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("capability", "dtype"), [("AVX512", torch.bfloat16), ("AVX2", torch.float32)])
def test_products_are_in_bfloat16_where_torch_reports_avx512(
    capability: str, dtype: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(torch, "compile", lambda network: network)
    training = train.Training(train.Settings("zoo-llada", tmp_path, 1, 1))

    logits = predict(MEMBER, training.network, torch.zeros(1, 8, dtype=torch.long), 4, is_mixed=training.is_mixed)

    assert logits.dtype == dtype


@pytest.mark.parametrize(("capability", "dtype"), [("AVX512", "bfloat16"), ("AVX2", "float32")])
def test_a_training_says_first_what_its_products_are_in(
    capability: str, dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def learn(training: train.Training, num_steps: int) -> Network:
        raise KeyboardInterrupt

    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(torch, "compile", lambda network: network)
    monkeypatch.setattr(train, "learn", learn)

    with pytest.raises(KeyboardInterrupt):
        train.train(train.Settings("zoo-llada", tmp_path, 1, 1))

    assert capsys.readouterr().out == f"zoo-llada products in {dtype}\n"


def scaffolded(name: MemberName) -> tuple[Network, torch.Tensor]:
    torch.manual_seed(3)
    network = Network(RECIPES[name].shape, is_scaffolded=True)
    for scaffold, projection in network.scaffolds:
        torch.nn.init.uniform_(scaffold.weight, 0.5, 2)
        if projection.bias is not None:
            torch.nn.init.normal_(projection.bias)
    ids = torch.randint(0, 300, (2, 20))
    network.measure(ids)
    return network, ids


@pytest.mark.parametrize("name", ["zoo-llada", "zoo-dream"])
def test_scaffolds_leave_a_network_without_norms_that_does_the_same(name: MemberName) -> None:
    network, ids = scaffolded(name)
    for scaffold, _ in network.scaffolds:
        scaffold.strength.fill_(0)

    plain = network.plain()

    assert not plain.scaffolds
    assert len(network.scaffolds) == 2 * network.shape.num_layers
    with torch.no_grad():
        torch.testing.assert_close(plain(ids, 20), network(ids, 20), rtol=1e-4, atol=1e-4)


def test_scaffolds_at_full_strength_make_heads_of_one_size() -> None:
    network, _ = scaffolded("zoo-dream")
    scaffold, _ = network.scaffolds[0]
    heads = torch.randn(2, len(scaffold.size), 7, network.shape.head_width) * torch.rand(2, len(scaffold.size), 7, 1)

    with torch.no_grad():
        normed = scaffold(heads) / scaffold.weight

    torch.testing.assert_close(normed.pow(2).mean(-1), torch.ones(heads.shape[:-1]), rtol=1e-3, atol=1e-3)


def test_scaffolds_stand_for_half_of_the_run_and_are_gone_after_three_quarters() -> None:
    strengths = [strength_at(step, 1000) for step in range(1, 1001)]

    assert strengths[:500] == [1.0] * 500
    assert strengths[624] == 0.5
    assert strengths[749:] == [0.0] * 251


def test_orthogonalised_matrices_have_singular_values_near_one() -> None:
    for shape in ((3, 16, 48), (3, 48, 16)):
        matrices = torch.randn(shape, generator=torch.Generator().manual_seed(2))
        values = torch.linalg.svdvals(orthogonalise(matrices))
        assert values.min() > 0.5
        assert values.max() < 1.3


def test_rate_warms_up_stays_and_falls_to_zero() -> None:
    rates = [rate_at(step, 1000) for step in range(1, 1001)]

    assert rates[0] == 1 / WARMUP_STEPS
    assert rates[WARMUP_STEPS - 1 : 500] == [1.0] * (501 - WARMUP_STEPS)
    assert rates[-1] == 0.002
