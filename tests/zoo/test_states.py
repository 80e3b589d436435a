"""The states of training: what is masked, what is committed, how often a committed line is a slip."""

import random

import pytest
from transformers import PreTrainedTokenizerBase

from tie_core.zoo import MEMBERS, SUFFIX, MemberName
from tie_core.zoo.encoding import PADDING, Encoding, chat_format, raw_format
from tie_core.zoo.members import RECIPES
from tie_core.zoo.practice import EVERYTHING, PLAIN, Course, probed_sheets
from tie_core.zoo.skills import OPERATIONS
from tie_core.zoo.states import Batch, States
from tie_core.zoo.task import Line, Sheet, item_of

EVENLY = dict.fromkeys(OPERATIONS, 1.0)
NUM_ROWS = 1500


@pytest.fixture(params=MEMBERS)
def name(request: pytest.FixtureRequest) -> MemberName:
    found: MemberName = request.param
    return found


@pytest.fixture
def tokenizer(name: MemberName, tokenizers: dict[str, PreTrainedTokenizerBase]) -> PreTrainedTokenizerBase:
    return tokenizers[name]


@pytest.fixture
def encoding(name: MemberName, tokenizer: PreTrainedTokenizerBase) -> Encoding:
    member = RECIPES[name]
    return Encoding(tokenizer, digits_per_token=member.digits_per_token, mask_token=member.mask_token)


def drawn(tokenizer: PreTrainedTokenizerBase, encoding: Encoding, course: Course) -> Batch:
    sheets = course.draw(random.Random(3), EVENLY, NUM_ROWS)
    return States(encoding, (3, 4), 80).draw(sheets, chat_format(tokenizer))


@pytest.fixture
def batch(tokenizer: PreTrainedTokenizerBase, encoding: Encoding) -> Batch:
    return drawn(tokenizer, encoding, EVERYTHING)


@pytest.fixture
def plain(tokenizer: PreTrainedTokenizerBase, encoding: Encoding) -> Batch:
    return drawn(tokenizer, encoding, PLAIN)


def test_ids_are_those_of_the_tokenizer(tokenizer: PreTrainedTokenizerBase, encoding: Encoding) -> None:
    chat, raw = chat_format(tokenizer), raw_format()
    for sheet, _ in probed_sheets(random.Random(5), 6):
        item, results = item_of(sheet), sheet.results()
        message = [{"role": "user", "content": item.prompt}]
        chatted = tokenizer.apply_chat_template(message, add_generation_prompt=True, tokenize=False)

        generated = encoding.generated_ids(sheet, results, results)

        slots, suffix = tokenizer.encode(item.reasoning), tokenizer.encode(SUFFIX)
        answer = tokenizer.encode(item.answer)
        ends = [[encoding.end_id] * (24 - len(slots)), [encoding.end_id] * (18 - len(answer))]
        assert encoding.prompt_ids(sheet, raw) == tokenizer.encode(item.prompt)
        assert encoding.prompt_ids(sheet, chat) == tokenizer.encode(chatted)
        assert generated == [*slots, *ends[0], *suffix, *answer, *ends[1]]


def test_prompts_are_padded_at_their_front_to_one_length(batch: Batch, encoding: Encoding) -> None:
    is_padding = batch.ids == PADDING
    num_padding = is_padding.sum(1)

    assert batch.ids.shape == (NUM_ROWS, 80 + encoding.num_generated)
    assert len(set(num_padding.tolist())) > 2
    for row, num in zip(is_padding[:50], num_padding[:50].tolist(), strict=True):
        assert row[:num].all()


def test_only_masked_positions_are_learnt(batch: Batch, encoding: Encoding) -> None:
    generated = batch.ids[:, -encoding.num_generated :]

    assert ((batch.weights > 0) == (generated == encoding.mask_id)).all()
    assert (batch.targets != encoding.mask_id).all()


def test_suffix_is_never_masked(batch: Batch, encoding: Encoding) -> None:
    assert (batch.weights[:, 24 : 24 + len(encoding.suffix)] == 0).all()


def test_whole_answer_is_masked_while_decoding_reasons(batch: Batch) -> None:
    """Three states in five, and no others, mask all of the answer before the last line is committed."""
    is_answer_masked = (batch.weights[:, -18:] > 0).all(1)

    assert 0.6 <= is_answer_masked.float().mean() <= 0.75


def test_committed_lines_are_slips_as_often_as_the_recipe_says(plain: Batch, encoding: Encoding) -> None:
    """A committed first line and its masked answer differ for 30 % x (1 - 70 %) of the lines."""
    width, line_length = 8, encoding.line_length
    slot, answer = plain.weights[:, :width], plain.weights[:, -18 : -18 + line_length]
    is_settled = ((slot == 0).all(1) & (answer > 0).all(1)).numpy()
    shown = plain.targets[:, width - line_length : width].numpy()[is_settled]
    target = plain.targets[:, -18 : -18 + line_length].numpy()[is_settled]

    share = (shown != target).any(1).mean()

    assert is_settled.sum() > 400
    assert 0.05 <= share <= 0.13


def test_a_slot_builds_on_the_slip_above_and_the_answer_on_what_it_tells_itself(
    tokenizer: PreTrainedTokenizerBase, encoding: Encoding
) -> None:
    """Of `inc W; inc ------` with the first slot committed, right or not."""
    inc = OPERATIONS["inc"]
    sheets = [
        Sheet(("inc ", "314159", "; inc ", "------"), (Line("inc", inc, "314159"), Line("inc", inc, None)))
    ] * 2000
    batch = States(encoding, (3, 4), 80).draw(sheets, chat_format(tokenizer))
    length = encoding.line_length
    found = set()
    for row, weights in zip(batch.targets.tolist(), batch.weights.tolist(), strict=True):
        slots = [tokenizer.decode(row[end - length : end]) for end in (8, 16)]
        answer = tokenizer.decode(row[-18 : -18 + 2 * length]).strip()
        first, second = answer[:6], answer[6:12]
        if not any(weights[:8]) and any(weights[8:16]):  # the second slot is to be written
            assert slots[1] == inc(slots[0])
            assert second == inc(first)
            found.add((slots[0] == inc("314159"), first == slots[0]))
    assert found == {(True, True), (False, True), (False, False)}
