"""The paper's identities: what an ensemble must equal when it has no choice, and what it may cost."""

from functools import cache

import pytest
import torch

import tie_core.scoring
from tests.members import tiny, twin, zoo
from tests.running import outcome_of
from tie_core.ensemble import Ensemble
from tie_core.events import RoundEnded, StepTaken
from tie_core.member import Member
from tie_core.prompting import prompt_ids
from tie_core.unmasking import POLICIES
from tie_core.zoo import BLOCK_SIZE, DEFAULTS, SUFFIX

QUESTION = [{"role": "user", "content": "rev 314159; inc 271828; add 141421"}]
SHAPE = {"gen_length": 40, "answer": 8, "block_size": 8, "suffix": SUFFIX}
SCORES = sorted(tie_core.scoring.SCORES)
PAPERS_READINGS = ("top1", "entropy", "margin")


def single_members() -> list[Member]:
    return [tiny("llada-tiny"), tiny("llada-tiny-gqa"), tiny("dream-tiny"), *zoo()]


def ensembles() -> list[list[Member]]:
    return [
        [tiny("llada-tiny"), tiny("llada-tiny-gqa")],
        [tiny("llada-tiny"), tiny("dream-tiny")],
        [tiny("llada-tiny"), tiny("dream-tiny"), tiny("llada-tiny-gqa")],
        list(zoo()),
    ]


def commits_of(policy: str, confidence: torch.Tensor, entropy: torch.Tensor, bound: float) -> torch.Tensor:
    """Each policy from its definition, by trying every number of commits from all down to one."""
    order = (entropy if policy == "entropy_bound" else -confidence).argsort(stable=True)
    for number in range(len(order), 1, -1):
        chosen = order[:number]
        is_within = {
            "top_k": number <= bound,
            "threshold": bool((confidence[chosen] >= bound).all()),
            "factor": (number + 1) * (1 - confidence[chosen].min().item()) < bound,
            "entropy_bound": (entropy[chosen].sum() - entropy[chosen].max()).item() <= bound,
        }
        if is_within[policy]:
            return chosen
    return order[:1]


@cache
def decode_plainly(member: Member, policy: str = "top_k", bound: float = 1) -> list[int]:
    """Semi-autoregressive decoding, written from its definition over the plain logits."""
    vocabulary, model = member.vocabulary, member.model
    suffix = vocabulary.encode(SUFFIX)
    num_reasoning = SHAPE["gen_length"] - SHAPE["answer"] - len(suffix)
    prompt, mask = prompt_ids(vocabulary, messages=QUESTION), (vocabulary.mask_id,)
    ids = torch.tensor(prompt + mask * num_reasoning + suffix + mask * SHAPE["answer"])
    forbidden = torch.tensor(vocabulary.forbidden_ids(model.vocab_rows))
    answer_start = len(prompt) + num_reasoning + len(suffix)
    for region in (range(len(prompt), len(prompt) + num_reasoning), range(answer_start, len(ids))):
        for block in torch.tensor(region).split(SHAPE["block_size"]):
            while len(masked := block[ids[block] == vocabulary.mask_id]):
                logits = model.logits(ids[None])[0].clone()
                if model.logits_are_shifted:
                    logits = torch.cat([logits[:1], logits[:-1]])
                probabilities = logits[masked].softmax(-1)
                confidence, tokens = probabilities.index_fill(-1, forbidden, -1.0).max(-1)
                assert torch.equal(tokens, probabilities.argmax(-1)), "its own entropy describes what is committed"
                best = commits_of(policy, confidence, torch.special.entr(probabilities).sum(-1), bound)
                ids[masked[best]] = tokens[best]
    return ids[len(prompt) :].tolist()


def generated(members: list[Member], **options) -> list[list[int]]:
    """Every member's complete generated part, and the final one's place."""
    request = Ensemble("test", members).request(messages=QUESTION, **{**SHAPE, **options})
    outcome, _ = outcome_of(request)
    return [list(canvas.generated) for canvas in outcome.canvases]


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize(
    ("policy", "name", "bound"),
    [
        ("top_k", "k", 1),
        ("top_k", "k", 2),
        ("threshold", "tau", 0.1),
        ("threshold", "tau", 0.9),
        ("factor", "factor", 1.0),
        ("factor", "factor", 2.0),
        ("entropy_bound", "gamma", 0.1),
        ("entropy_bound", "gamma", 15.0),
    ],
)
def test_an_ensemble_of_one_equals_plain_decoding(number, policy, name, bound, numbers):
    member = single_members()[number]
    expected = decode_plainly(member, policy, bound)
    for score in SCORES[: numbers(2, 4)]:
        assert generated([member], interval=8, score=score, policy=policy, **{name: bound}) == [expected]


@pytest.mark.parametrize("name", ["llada-tiny", "dream-tiny"])
@pytest.mark.parametrize("score", SCORES)
def test_copies_of_one_model_equal_that_model(name, score):
    copies = [tiny(name), twin(name, 2), twin(name, 3)]
    assert generated(copies, interval=8, score=score) == [decode_plainly(copies[0])] * 3


@pytest.mark.parametrize("number", range(4))
def test_an_interval_of_all_steps_is_the_post_generation_ensemble(number):
    members = ensembles()[number]
    outcome, rounds = outcome_of(
        Ensemble("test", members).request(messages=QUESTION, **SHAPE, interval=SHAPE["gen_length"])
    )
    assert rounds == []
    assert [list(canvas.generated) for canvas in outcome.canvases] == [decode_plainly(m) for m in members]
    stable = min(outcome.candidates, key=lambda run: (not run.tcc.has_evidence, run.tcc.value, -run.top1))
    assert outcome.final == stable


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("score", SCORES)
def test_scoring_costs_what_the_paper_says(number, score):
    members = ensembles()[number]
    forwards = [0] * len(members)
    ensemble = Ensemble("test", [_counting(member, forwards, index) for index, member in enumerate(members)])
    outcome, rounds = outcome_of(ensemble.request(messages=QUESTION, **SHAPE, interval=8, score=score))
    trajectories = [t for ended in rounds for t in ended.trajectories] + list(outcome.last_trajectories)
    decoding = sum(trajectory.num_steps for trajectory in trajectories)
    scoring = sum(sum(ended.num_score_forwards) for ended in rounds)
    assert rounds
    assert sum(forwards) == decoding + scoring
    # a canvas that equals another one is read once, one that overflows not at all
    readers = tie_core.scoring.SCORES[score].readers
    if readers == "nobody":
        assert scoring == 0
    elif readers == "itself":
        assert 0 < scoring <= len(rounds) * (len(members) - 1)
    elif score in PAPERS_READINGS and all(
        relay.result in ("copied", "transcoded") for ended in rounds for relay in ended.relayed
    ):
        assert scoring == len(rounds) * (len(members) ** 2 - len(members))


@pytest.mark.parametrize("score", PAPERS_READINGS)
@pytest.mark.parametrize("left_out", range(3))
def test_cross_model_scoring_costs_exactly_m_squared_minus_m_for_pairs_of_the_zoo(score, left_out):
    """For all three it may be less: two that wrote the same text are one canvas to the third."""
    pair = [member for index, member in enumerate(zoo()) if index != left_out]
    events = list(Ensemble("zoo", pair, DEFAULTS).generate(messages=QUESTION, score=score))
    rounds = [event for event in events if isinstance(event, RoundEnded)]
    # the last relay leaves nothing masked for a member whose tokens are longer, so nothing to read
    readable = [ended for ended in rounds if ended.masked_left >= BLOCK_SIZE]
    assert len(readable) > 2
    for number, ended in enumerate(readable, start=1):
        assert all(relay.result == "transcoded" for relay in ended.relayed)
        assert sum(nfe.score for nfe in ended.nfe.values()) == number * (2 * 2 - 2)


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_answer_positions_are_never_committed_before_reasoning_ones(number, policy):
    members = ensembles()[number]
    request = {"messages": QUESTION, **SHAPE, "interval": 3, "policy": policy, "tau": 0.3, "gamma": 15.0}
    events = list(Ensemble("test", members).generate(**request, detail="step"))
    steps = [event for event in events if isinstance(event, StepTaken)]
    first_answer = SHAPE["gen_length"] - SHAPE["answer"]
    for step in steps:
        if any(position >= first_answer for position, *_ in step.set):
            assert step.masked_left < SHAPE["answer"]


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("relay_boundary", ["auto", "block", "step"])
@pytest.mark.parametrize("interval", [1, 3, 8, 100])
def test_a_request_never_takes_more_rounds_than_its_steps_allow(number, relay_boundary, interval):
    options = {**SHAPE, "gen_length": 28, "interval": interval, "relay_boundary": relay_boundary}
    request = Ensemble("test", ensembles()[number]).request(messages=QUESTION, **options)
    outcome, rounds = outcome_of(request)
    assert all(canvas.is_complete for canvas in outcome.canvases)
    assert len(rounds) + 1 <= -(-options["gen_length"] // interval) + 2


def _counting(member: Member, forwards: list[int], index: int) -> Member:
    class Counting(Member):
        def predict(self, queries):
            forwards[index] += len(queries)
            return super().predict(queries)

    return Counting(member.name, member.model, member.vocabulary)
