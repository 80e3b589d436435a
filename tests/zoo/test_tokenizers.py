"""What relays stand on: slots of eight tokens in every tokenizer, and texts that split at the same places."""

from itertools import chain, combinations
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerBase

from tie_core.zoo import ANSWER_LENGTH, BLOCK_SIZE, MEMBERS, REASONING_LENGTH, SUFFIX, member_path
from tie_core.zoo.items import make_items
from tie_core.zoo.members import RECIPES
from tie_core.zoo.skills import FAMILIES
from tie_core.zoo.task import VALIDATION_SEED

ITEMS = [item for family in FAMILIES for item in make_items(VALIDATION_SEED, 150, family)]
MESSAGES = [{"role": "user", "content": "rev 314159; inc 271828; add 141421"}]


@pytest.fixture(params=MEMBERS)
def tokenizer(request: pytest.FixtureRequest, tokenizers: dict[str, PreTrainedTokenizerBase]) -> object:
    return tokenizers[request.param]


def encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False))


def slots_of(reasoning: str) -> list[str]:
    return [f" {slot}" for slot in reasoning.split()]


def test_tokens_of_the_members_differ_as_documented(
    tokenizers: dict[str, PreTrainedTokenizerBase],
) -> None:
    pieces = {name: each.tokenize(" rev=951413 Answer:951413") for name, each in tokenizers.items()}

    assert pieces["zoo-dream"] == pieces["zoo-qwen3"] == ["Ġrev", "=", *"951413", "ĠAnswer", ":", *"951413"]
    assert pieces["zoo-llada"] == ["Ġ", *"rev", "=", "95", "14", "13", "ĠAnswer", ":", "95", "14", "13"]
    digits = {name: each.convert_tokens_to_ids(["Ġrev", "Ġmed"]) for name, each in tokenizers.items()}
    assert digits["zoo-dream"] != digits["zoo-qwen3"]


def test_dashes_take_the_room_of_a_word(tokenizer: PreTrainedTokenizerBase) -> None:
    assert len(encode(tokenizer, "rev 314159; inc ------")) == len(encode(tokenizer, "rev 314159; inc 271828"))


def test_every_slot_is_one_block_of_tokens(tokenizer: PreTrainedTokenizerBase) -> None:
    lengths = {len(encode(tokenizer, slot)) for item in ITEMS for slot in slots_of(item.reasoning)}

    assert lengths == {BLOCK_SIZE}


def test_slots_suffix_and_answer_split_where_they_join(tokenizer: PreTrainedTokenizerBase) -> None:
    for item in ITEMS:
        parts = [*slots_of(item.reasoning), SUFFIX, item.answer]
        apart = [encode(tokenizer, part) for part in parts]

        assert list(chain.from_iterable(apart)) == encode(tokenizer, "".join(parts))
        assert sum(len(slot) for slot in apart[:-2]) == BLOCK_SIZE * item.num_lines <= REASONING_LENGTH


def test_answer_fits_with_at_most_end_tokens_behind_it(
    tokenizers: dict[str, PreTrainedTokenizerBase],
) -> None:
    longest = max((item.answer for item in ITEMS), key=len)
    lengths = {name: len(encode(each, longest)) for name, each in tokenizers.items()}

    assert lengths == {"zoo-llada": ANSWER_LENGTH // 2, "zoo-dream": ANSWER_LENGTH, "zoo-qwen3": ANSWER_LENGTH}


@pytest.mark.parametrize(
    "text",
    [
        "rev 314159; inc 271828",
        " rev=951413 inc=3",
        "naïve Größe, 数字 ١٢٣ 1234567",
        "\tx  \n\n y \r\n emoji \U0001f600!",
        "",
    ],
)
def test_any_text_survives_the_round_trip(tokenizer: PreTrainedTokenizerBase, text: str) -> None:
    assert tokenizer.decode(encode(tokenizer, text), clean_up_tokenization_spaces=False) == text


def test_chat_template_ends_where_the_answer_of_the_model_begins(
    tokenizers: dict[str, PreTrainedTokenizerBase],
) -> None:
    texts = {
        name: each.apply_chat_template(MESSAGES, add_generation_prompt=True, tokenize=False)
        for name, each in tokenizers.items()
    }

    assert texts["zoo-llada"] == (
        "<|startoftext|><|start_header_id|>user<|end_header_id|>\n\n"
        "rev 314159; inc 271828; add 141421<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )
    assert texts["zoo-dream"] == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\nrev 314159; inc 271828; add 141421<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    assert texts["zoo-qwen3"] == (
        "<|im_start|>user\nrev 314159; inc 271828; add 141421<|im_end|>\n<|im_start|>assistant\n"
    )


def test_special_tokens_are_single_ids_behind_the_vocabulary_and_differ_between_members(
    tokenizers: dict[str, PreTrainedTokenizerBase],
) -> None:
    specials = {
        "zoo-llada": ("<|startoftext|>", "<|endoftext|>", "<|mdm_mask|>", "<|eot_id|>"),
        "zoo-dream": ("<|beginoftext|>", "<|endoftext|>", "<|mask|>", "<|im_end|>"),
        "zoo-qwen3": ("<think>", "<|endoftext|>", "<|mask|>", "<|im_end|>"),
    }
    ids = {name: [encode(tokenizers[name], token) for token in specials[name]] for name in MEMBERS}

    assert all(len(each) == 1 for lists in ids.values() for each in lists)
    for first, second in combinations(MEMBERS, 2):
        assert [one[0] for one in ids[first]] != [one[0] for one in ids[second]]
    assert {each.eos_token for each in tokenizers.values()} == {"<|endoftext|>"}
    assert {each.pad_token for each in tokenizers.values()} == {"<|endoftext|>"}
    assert tokenizers["zoo-dream"].mask_token == tokenizers["zoo-qwen3"].mask_token == "<|mask|>"


@pytest.mark.parametrize("name", MEMBERS)
def test_checkpoint_carries_the_files_that_the_code_writes(name: str, tokenizer_folders: dict[str, Path]) -> None:
    written = sorted(tokenizer_folders[name].iterdir())

    assert written
    for path in written:
        assert (member_path(name) / path.name).read_bytes() == path.read_bytes(), path.name


def test_layouts_have_the_files_of_the_real_checkpoints(tokenizer_folders: dict[str, Path]) -> None:
    files = {name: {path.name for path in folder.iterdir()} for name, folder in tokenizer_folders.items()}
    both = {"special_tokens_map.json", "tokenizer_config.json"}

    assert files["zoo-llada"] == both | {"tokenizer.json"}
    assert files["zoo-dream"] == both | {"vocab.json", "merges.txt", "added_tokens.json"}
    assert files["zoo-qwen3"] == {"vocab.json", "merges.txt", "tokenizer_config.json"}
    assert set(RECIPES) == set(MEMBERS)
