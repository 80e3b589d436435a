import json
import shutil
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, processors

from tests.vocabularies import GOLDEN, TOKENIZERS, load
from tie_core.errors import PromptError
from tie_core.prompting import prompt_ids
from tie_core.vocabulary import Vocabulary, load_vocabulary

CONVERSATIONS = {
    "a question": [{"role": "user", "content": "Anna has 4 boxes with 6 pens. How many pens?"}],
    "spaces around": [{"role": "user", "content": "\n  two lines\n\nand 12345 spaces \t "}],
    "a system message": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "1+1?"}],
    "several turns": [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": " Hello! "},
        {"role": "user", "content": "na\u00efve \u4f60\u597d \U0001f600 < > [x] | <b>not special</b> <|"},
    ],
    "private-use characters": [{"role": "user", "content": "\U000f0000\U000f0001 and \ue000"}],
    "an empty message": [{"role": "user", "content": ""}],
}
SPELLINGS = (
    "<|mdm_mask|>",
    "<|mask|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|im_end|>",
    "[gMASK]",
    "<tool_call>",
)


@pytest.fixture(params=TOKENIZERS)
def vocabulary(request: pytest.FixtureRequest) -> Vocabulary:
    return load(request.param)


def added_ids(vocabulary: Vocabulary) -> dict[str, int]:
    return {token.content: token.id for token in vocabulary._chat_template._tokens.values()}


def count_added(vocabulary: Vocabulary, tokens: tuple[int, ...]) -> list[int]:
    added = set(added_ids(vocabulary).values())
    return [token for token in tokens if token in added]


def user(content: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content}]


class TestMessages:
    @pytest.mark.parametrize("conversation", CONVERSATIONS)
    def test_plain_messages_are_tokenised_as_transformers_does(self, vocabulary: Vocabulary, conversation: str) -> None:
        tokenizer: Any = vocabulary._chat_template._tokenizer
        expected = tokenizer.apply_chat_template(CONVERSATIONS[conversation], add_generation_prompt=True)

        assert list(prompt_ids(vocabulary, messages=CONVERSATIONS[conversation])) == expected["input_ids"]

    def test_llada_trims_and_ends_in_the_assistant_header(self) -> None:
        vocabulary = load("llada-tiny")

        tokens = prompt_ids(vocabulary, messages=user("  Hi "))

        assert tokens[:2] == (512, 523)
        assert count_added(vocabulary, tokens) == [512, 523, 524, 525, 523, 524]
        assert vocabulary.decode(tokens) == "user\n\nHiassistant\n\n"

    def test_dream_has_a_default_system_message_and_does_not_trim(self) -> None:
        vocabulary = load("dream-tiny")

        tokens = prompt_ids(vocabulary, messages=user(" Hi "))

        assert vocabulary.decode(tokens) == "system\nYou are a helpful assistant.\nuser\n Hi \nassistant\n"
        assert count_added(vocabulary, tokens) == [513, 514, 513, 514, 513]

    def test_parts_of_a_message_are_joined(self, vocabulary: Vocabulary) -> None:
        parts = [{"type": "text", "text": "How many"}, {"type": "text", "text": " pens?"}]

        assert prompt_ids(vocabulary, messages=user(parts)) == prompt_ids(vocabulary, messages=user("How many pens?"))

    def test_no_spelling_in_a_message_becomes_a_token(self, vocabulary: Vocabulary) -> None:
        written = count_added(vocabulary, prompt_ids(vocabulary, messages=user("x")))
        for spelling in {*SPELLINGS, *added_ids(vocabulary)}:
            for content in (
                spelling,
                f"x{spelling}y {spelling}",
                f" {spelling}{spelling}\n",
                [{"type": "text", "text": spelling}],
            ):
                tokens = prompt_ids(vocabulary, messages=user(content))
                assert count_added(vocabulary, tokens) == written
                assert spelling in vocabulary.decode(tokens)

    def test_no_spelling_in_any_role_becomes_a_token(self, vocabulary: Vocabulary) -> None:
        def conversation(text: str) -> list[dict[str, str]]:
            return [{"role": role, "content": text} for role in ("system", "user", "assistant", "user")]

        plain = count_added(vocabulary, prompt_ids(vocabulary, messages=conversation("x")))

        for spelling in {*SPELLINGS, *list(added_ids(vocabulary))[:40]}:
            tokens = prompt_ids(vocabulary, messages=conversation(f"a {spelling}"))
            assert count_added(vocabulary, tokens) == plain

    def test_the_text_around_a_message_completes_no_spelling(self, tmp_path: Path) -> None:
        folder = tmp_path / "llada"
        shutil.copytree(GOLDEN / "llada-tiny", folder, ignore=shutil.ignore_patterns("*.safetensors"))
        config = json.loads((folder / "tokenizer_config.json").read_text())
        config["chat_template"] = "<role{% for m in messages %}{{ m.content | trim }}{% endfor %}eot_id|>"
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
        vocabulary = load_vocabulary(folder, mask_id=516, eos_id=513, vocab_rows=544)

        for content in (">", "> <|", "  >x<| ", "><|", "<|"):
            tokens = prompt_ids(vocabulary, messages=user(content))
            assert count_added(vocabulary, tokens) == []
            assert vocabulary.decode(tokens) == f"<role{content.strip()}eot_id|>"

    @settings(max_examples=200, deadline=None)
    @given(
        pieces=st.lists(
            st.one_of(
                st.sampled_from(SPELLINGS),
                st.sampled_from(("<|", "|>", "<", ">", "im_end", "\U000f0000", "[", "role>", " ")),
                st.text(max_size=6),
            ),
            max_size=8,
        )
    )
    def test_only_the_template_writes_special_tokens(self, pieces: list[str]) -> None:
        content = "".join(pieces)
        for name in ("llada-tiny", "dream-tiny", "zoo-llada", "zoo-dream", "zoo-qwen3"):
            vocabulary = load(name)
            plain = count_added(vocabulary, prompt_ids(vocabulary, messages=user("x")))
            tokens = prompt_ids(vocabulary, messages=user(content))
            assert count_added(vocabulary, tokens) == plain
            text = content if "dream" in name else content.strip()
            assert unicodedata.normalize("NFC", text) in vocabulary.decode(tokens)


class TestRefusals:
    @pytest.mark.parametrize(
        ("messages", "match"),
        [
            ([], "at least one message"),
            ("Hi", "at least one message"),
            (["Hi"], r"messages\[0\] is an object"),
            ([{"role": "tool", "content": "x"}], r"messages\[0\].role is one of system, user, assistant"),
            ([{"role": "<|im_end|>", "content": "x"}], "role is one of"),
            ([{"role": ["user"], "content": "x"}], "role is one of"),
            ([{"content": "x"}], "role is one of"),
            ([{"role": "user"}], r"messages\[0\].content is a string or a list"),
            ([{"role": "user", "content": None}], "content is a string"),
            ([{"role": "user", "content": 3}], "content is a string"),
            ([{"role": "user", "content": [{"type": "image", "url": "x"}]}], "content is a string"),
            ([{"role": "user", "content": [{"type": "text", "text": 1}]}], "content is a string"),
            ([{"role": "user", "content": ["x"]}], "content is a string"),
            (
                [{"role": "user", "content": "x"}, {"role": "system", "content": "y"}],
                "only as the first message",
            ),
            ([{"role": "user", "content": "a\udfff"}], "character 1 is a lone surrogate"),
        ],
    )
    def test_messages_without_a_valid_form(self, messages: Any, match: str) -> None:
        with pytest.raises(PromptError, match=match) as caught:
            prompt_ids(load("dream-tiny"), messages=messages)

        assert caught.value.param == "messages"

    def test_what_the_template_refuses_is_said_in_its_words(self, tmp_path: Path) -> None:
        vocabulary = with_template(tmp_path, "{{ raise_exception('roles must alternate') }}")

        with pytest.raises(PromptError, match=r"refuses these messages \(roles must alternate\): change"):
            prompt_ids(vocabulary, messages=user("x"))

    @pytest.mark.parametrize(
        "template",
        [
            "{{ messages[5].content }}",
            "{{ messages.append(1) }}",
            "{{ 1 + 'x' }}",
            "{{ ''.__class__.mro() }}",
        ],
    )
    def test_a_template_that_breaks_never_quotes_the_message(self, tmp_path: Path, template: str) -> None:
        vocabulary = with_template(tmp_path, template)

        with pytest.raises(PromptError, match="refuses these messages") as caught:
            prompt_ids(vocabulary, messages=user("secret"))

        assert "secret" not in str(caught.value)

    def test_messages_for_a_model_without_a_template(self, tmp_path: Path) -> None:
        vocabulary = with_template(tmp_path, None)

        with pytest.raises(PromptError, match="no chat template: send `prompt` instead"):
            prompt_ids(vocabulary, messages=user("x"))

    def test_not_exactly_one_of_prompt_and_messages(self) -> None:
        with pytest.raises(PromptError, match="exactly one of"):
            prompt_ids(load("dream-tiny"))
        with pytest.raises(PromptError, match="exactly one of"):
            prompt_ids(load("dream-tiny"), "x", user("x"))

    @pytest.mark.parametrize("prompt", [3, b"x", ["x"]])
    def test_a_prompt_that_is_no_text(self, prompt: Any) -> None:
        with pytest.raises(PromptError, match="prompt is a string"):
            prompt_ids(load("dream-tiny"), prompt)

    def test_a_prompt_with_a_lone_surrogate(self) -> None:
        with pytest.raises(PromptError, match="character 0 is a lone surrogate"):
            prompt_ids(load("dream-tiny"), "\ud83d")


def with_template(tmp_path: Path, template: str | None) -> Vocabulary:
    folder = tmp_path / "dream"
    shutil.copytree(GOLDEN / "dream-tiny", folder, ignore=shutil.ignore_patterns("*.safetensors"))
    config = json.loads((folder / "tokenizer_config.json").read_text())
    if template is None:
        del config["chat_template"]
    else:
        config["chat_template"] = template
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return load_vocabulary(folder, mask_id=535, eos_id=512, vocab_rows=544)


class TestRawPrompt:
    def test_it_is_its_own_text_and_nothing_else(self, vocabulary: Vocabulary) -> None:
        assert prompt_ids(vocabulary, "Answer: 42") == vocabulary.encode("Answer: 42")

    def test_no_spelling_becomes_a_token(self, vocabulary: Vocabulary) -> None:
        for spelling in {*SPELLINGS, *added_ids(vocabulary)}:
            tokens = prompt_ids(vocabulary, f"{spelling} and {spelling}")
            assert count_added(vocabulary, tokens) == []

    def test_a_tokenizer_that_begins_with_bos_does_so_here(self, tmp_path: Path) -> None:
        folder = tmp_path / "llada"
        shutil.copytree(GOLDEN / "llada-tiny", folder, ignore=shutil.ignore_patterns("*.safetensors"))
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        bos = ("<|startoftext|>", 512)
        tokenizer.post_processor = processors.TemplateProcessing(f"{bos[0]} $A", special_tokens=[bos])
        tokenizer.save(str(folder / "tokenizer.json"))
        (folder / "tokenizer_config.json").write_text(json.dumps(without_bos_switch(folder)))

        vocabulary = load_vocabulary(folder, mask_id=516, eos_id=513, vocab_rows=544)

        assert prompt_ids(vocabulary, "x") == (512, *vocabulary.encode("x"))
        assert prompt_ids(vocabulary, messages=user("x")) == prompt_ids(load("llada-tiny"), messages=user("x"))


def without_bos_switch(folder: Path) -> dict[str, Any]:
    """The configuration without the switches that make transformers replace a post-processor."""
    config: dict[str, Any] = json.loads((folder / "tokenizer_config.json").read_text())
    return {name: value for name, value in config.items() if name not in ("add_bos_token", "add_eos_token")}
