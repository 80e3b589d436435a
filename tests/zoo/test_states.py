"""The states of training: what is masked, what is committed, how often a committed line is a slip."""

import numpy as np
import pytest
from transformers import PreTrainedTokenizerBase

from tie_core.zoo import MEMBERS, SUFFIX, MemberName
from tie_core.zoo.encoding import Encoding, chat_format, raw_format, read_encoding
from tie_core.zoo.members import RECIPES
from tie_core.zoo.states import Batch, draw_batch, results_of
from tie_core.zoo.task import OPERATIONS, VALIDATION_SEED, make_items

EVENLY = np.full(len(OPERATIONS), 1 / len(OPERATIONS))
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
    return read_encoding(tokenizer, digits_per_token=member.digits_per_token, mask_token=member.mask_token)


@pytest.fixture
def batch(tokenizer: PreTrainedTokenizerBase, encoding: Encoding) -> Batch:
    return draw_batch(np.random.default_rng(3), encoding, chat_format(tokenizer), EVENLY, NUM_ROWS)


def test_vectorised_results_are_those_of_the_task() -> None:
    rng = np.random.default_rng(1)
    operations = rng.integers(0, len(OPERATIONS), size=200)
    words = rng.integers(0, 10, size=(200, 6))

    results = results_of(operations, words)

    for operation, word, result in zip(operations, words, results, strict=True):
        expected = list(OPERATIONS.values())[operation]("".join(map(str, word)))
        assert "".join(map(str, result)) == expected


def test_ids_are_those_of_the_tokenizer(tokenizer: PreTrainedTokenizerBase, encoding: Encoding) -> None:
    names = list(OPERATIONS)
    chat, raw = chat_format(tokenizer), raw_format()
    for item in make_items(VALIDATION_SEED, 50):
        lines = [line.split() for line in item.prompt.split("; ")]
        operations = np.array([[names.index(operation) for operation, _ in lines]])
        words = np.array([[[int(digit) for digit in word] for _, word in lines]])
        results = results_of(operations, words)

        generated = encoding.generated_ids(operations, results, results)[0].tolist()

        message = [{"role": "user", "content": item.prompt}]
        chatted = tokenizer.apply_chat_template(message, add_generation_prompt=True, tokenize=False)
        written = tokenizer.encode(item.reasoning + SUFFIX + item.answer)
        assert encoding.prompt_ids(operations, words, raw)[0].tolist() == tokenizer.encode(item.prompt)
        assert encoding.prompt_ids(operations, words, chat)[0].tolist() == tokenizer.encode(chatted)
        assert generated == written + [encoding.end_id] * (len(generated) - len(written))


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


def test_committed_lines_are_slips_as_often_as_the_recipe_says(batch: Batch, encoding: Encoding) -> None:
    """A committed first line and its masked answer differ for 30 % x (1 - 70 %) of the lines."""
    width, line_length = 8, encoding.line_length
    slot, answer = batch.weights[:, :width], batch.weights[:, -18 : -18 + line_length]
    is_settled = ((slot == 0).all(1) & (answer > 0).all(1)).numpy()
    shown = batch.targets[:, width - line_length : width].numpy()[is_settled]
    target = batch.targets[:, -18 : -18 + line_length].numpy()[is_settled]

    share = (shown != target).any(1).mean()

    assert is_settled.sum() > 400
    assert 0.05 <= share <= 0.13
