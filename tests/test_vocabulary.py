import json
import shutil
import time
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast, Qwen2Tokenizer

from tests.vocabularies import GOLDEN, TOKENIZERS, load
from tie_core.chat_template import AddedToken, ChatTemplate
from tie_core.errors import CheckpointError, PromptError
from tie_core.testing.tokens import TEXTS
from tie_core.vocabulary import Vocabulary, load_vocabulary


@pytest.fixture(params=TOKENIZERS)
def vocabulary(request: pytest.FixtureRequest) -> Vocabulary:
    return load(request.param)


def added_tokens(vocabulary: Vocabulary) -> dict[str, AddedToken]:
    return vocabulary._chat_template._tokens


def reference(vocabulary: Vocabulary) -> Any:
    """transformers' own tokenizer of the same files."""
    return vocabulary._chat_template._tokenizer


def assert_only_text(vocabulary: Vocabulary, tokens: tuple[int, ...]) -> None:
    spelled = {token.id for token in added_tokens(vocabulary).values()} & set(tokens)
    assert not spelled


class TestIds:
    def test_golden_llada_has_the_meanings_of_its_readme(self) -> None:
        vocabulary = load("llada-tiny")

        assert (vocabulary.mask_id, vocabulary.eos_id, vocabulary.end_of_turn_id) == (516, 513, 525)
        assert vocabulary.end_ids == {513, 525}
        assert vocabulary.forbidden_ids(544) == (516, *range(526, 544))

    def test_golden_dream_has_the_meanings_of_its_readme(self) -> None:
        vocabulary = load("dream-tiny")

        assert (vocabulary.mask_id, vocabulary.eos_id, vocabulary.end_of_turn_id) == (535, 512, 514)
        assert vocabulary.end_ids == {512, 514}
        assert vocabulary.forbidden_ids(544) == (535, *range(536, 544))

    def test_real_dream_has_the_ids_of_its_checkpoint(self) -> None:
        vocabulary = load("qwen2.5")

        assert (vocabulary.mask_id, vocabulary.eos_id, vocabulary.end_of_turn_id) == (151666, 151643, 151645)
        assert vocabulary.forbidden_ids(152_064) == (151666, *range(151667, 152064))
        assert vocabulary.encode("Hello world") == (9707, 1879)

    def test_a_declared_end_token_is_an_end_token_whatever_the_config_says(self, tmp_path: Path) -> None:
        shutil.copytree(GOLDEN / "dream-tiny", tmp_path / "qwen")
        config = json.loads((tmp_path / "qwen" / "tokenizer_config.json").read_text())
        config["eos_token"] = "<|file_sep|>"
        (tmp_path / "qwen" / "tokenizer_config.json").write_text(json.dumps(config))

        vocabulary = load_vocabulary(tmp_path / "qwen", mask_id=535, eos_id=512, vocab_rows=544)

        assert vocabulary.end_ids == {512, 514, 533}
        assert vocabulary.token_bytes(533) == b""

    def test_mask_is_never_an_end_token(self) -> None:
        vocabulary = load_vocabulary(GOLDEN / "dream-tiny", mask_id=512, eos_id=514, vocab_rows=544)

        assert vocabulary.end_ids == {514}

    def test_every_id_but_the_forbidden_has_a_token(self, vocabulary: Vocabulary) -> None:
        forbidden = set(vocabulary.forbidden_ids(vocabulary.size + 10))

        assert forbidden >= set(range(vocabulary.size, vocabulary.size + 10))
        assert vocabulary.end_ids.isdisjoint(forbidden)


class TestTokens:
    def test_bytes_of_all_tokens_agree_with_transformers(self, vocabulary: Vocabulary) -> None:
        special = {token.id for token in added_tokens(vocabulary).values()}
        plain = [token for token in range(vocabulary.size) if token not in special]

        assert [vocabulary.decode([token]) for token in plain] == reference(vocabulary).batch_decode(
            [[token] for token in plain]
        )

    def test_special_tokens_have_no_text_and_other_added_ones_their_spelling(self, vocabulary: Vocabulary) -> None:
        for token in added_tokens(vocabulary).values():
            is_textless = token.special or token.id in vocabulary.end_ids
            assert vocabulary.token_bytes(token.id) == (b"" if is_textless else token.content.encode())

    def test_an_id_without_a_token_has_no_text(self, vocabulary: Vocabulary) -> None:
        assert vocabulary.text_bytes([-1, vocabulary.size, 10**9]) == b""

    def test_there_is_a_token_for_every_byte(self, vocabulary: Vocabulary) -> None:
        for byte in range(256):
            token = vocabulary.byte_token(byte)
            assert token is not None
            assert vocabulary.token_bytes(token) == bytes([byte])

    def test_half_a_character_decodes_to_a_replacement(self) -> None:
        vocabulary = load("llada-tiny")
        half = [vocabulary.byte_token(byte) or 0 for byte in "\u20ac".encode()[:2]]

        assert vocabulary.decode(half) == "\ufffd"


class TestEncode:
    @pytest.mark.parametrize("text", TEXTS)
    def test_text_comes_back(self, vocabulary: Vocabulary, text: str) -> None:
        assert vocabulary.decode(vocabulary.encode(text)) == text

    @pytest.mark.parametrize("text", TEXTS)
    def test_plain_text_is_tokenised_as_transformers_does(self, vocabulary: Vocabulary, text: str) -> None:
        assert list(vocabulary.encode(text)) == reference(vocabulary)(text, add_special_tokens=False)["input_ids"]

    def test_a_normaliser_composes_characters(self) -> None:
        assert load("qwen2.5").decode(load("qwen2.5").encode("e\u0301")) == "\u00e9"

    def test_no_spelling_of_an_added_token_becomes_its_id(self, vocabulary: Vocabulary) -> None:
        for spelling in added_tokens(vocabulary):
            for text in (spelling, f"a{spelling}b", f" {spelling} {spelling}\n", spelling + spelling):
                tokens = vocabulary.encode(text)
                assert_only_text(vocabulary, tokens)
                assert vocabulary.decode(tokens) == text

    def test_a_lone_surrogate_is_refused(self, vocabulary: Vocabulary) -> None:
        with pytest.raises(PromptError, match="character 3 is a lone surrogate"):
            vocabulary.encode("abc\ud800")

    @settings(max_examples=300, deadline=None)
    @given(text=st.text(max_size=60))
    def test_any_text_comes_back_in_composed_form(self, text: str) -> None:
        for name in ("llada-tiny", "dream-tiny", "zoo-llada", "zoo-dream", "zoo-qwen3"):
            assert load(name).decode(load(name).encode(text)) == unicodedata.normalize("NFC", text)

    @pytest.mark.parametrize("unit", ["a", " ", "1", "<", "<|im_end|>", "<|im_", "x ", "\n ", "\u4e2d", "e\u0301"])
    @pytest.mark.parametrize("name", ["dream-tiny", "deepseek"])
    def test_a_long_message_takes_no_time(self, name: str, unit: str) -> None:
        vocabulary = load(name)
        text = (unit * 200_000)[:200_000]
        start = time.thread_time()

        vocabulary.render_chat([{"role": "user", "content": text}])

        assert time.thread_time() - start < 5.0


class TestFingerprint:
    def test_all_the_tokenizers_differ(self) -> None:
        names = ("llada-tiny", "dream-tiny", "zoo-llada", "zoo-dream", "zoo-qwen3")

        assert len({load(name).fingerprint for name in names}) == len(names)

    def test_the_layout_of_the_files_does_not_matter(self, tmp_path: Path) -> None:
        Qwen2Tokenizer.from_pretrained(GOLDEN / "dream-tiny").save_pretrained(tmp_path)

        saved = load_vocabulary(tmp_path, mask_id=535, eos_id=512, vocab_rows=544)

        assert (tmp_path / "tokenizer.json").is_file()
        assert not (tmp_path / "merges.txt").exists()
        assert saved.fingerprint == load("dream-tiny").fingerprint
        assert saved.encode("Answer: 42") == load("dream-tiny").encode("Answer: 42")

    @pytest.mark.parametrize("part", ["token", "merge", "normaliser", "pre-tokeniser", "mask"])
    def test_any_difference_of_meaning_shows(self, tmp_path: Path, part: str) -> None:
        shutil.copytree(GOLDEN / "llada-tiny", tmp_path / "llada")
        path = tmp_path / "llada" / "tokenizer.json"
        spec = json.loads(path.read_text(encoding="utf-8"))
        vocab, merges = spec["model"]["vocab"], spec["model"]["merges"]
        match part:
            case "token":
                vocab["!"], vocab['"'] = vocab['"'], vocab["!"]
            case "merge":
                merges[0], merges[1] = merges[1], merges[0]
            case "normaliser":
                spec["normalizer"] = None
            case "pre-tokeniser":
                spec["pre_tokenizer"] = spec["pre_tokenizer"]["pretokenizers"][1]
        path.write_text(json.dumps(spec), encoding="utf-8")

        changed = load_vocabulary(path.parent, mask_id=515 if part == "mask" else 516, eos_id=513, vocab_rows=544)

        assert changed.fingerprint != load("llada-tiny").fingerprint


class TestRefusals:
    def refuse(self, folder: Path, match: str, **changes: int) -> None:
        ids = {"mask_id": 516, "eos_id": 513, "vocab_rows": 544, **changes}
        with pytest.raises(CheckpointError, match=match):
            load_vocabulary(folder, **ids)

    def test_a_folder_without_a_tokenizer(self, tmp_path: Path) -> None:
        self.refuse(tmp_path, "no tokenizer; expected tokenizer.json")

    def test_a_folder_that_does_not_exist(self, tmp_path: Path) -> None:
        self.refuse(tmp_path / "missing", "no tokenizer")

    def test_a_damaged_file(self, tmp_path: Path) -> None:
        (tmp_path / "tokenizer.json").write_text('{"model": ')

        self.refuse(tmp_path, "cannot be read")

    def test_a_tokenizer_that_is_not_byte_level(self, tmp_path: Path) -> None:
        tokenizer = Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")]))
        PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>").save_pretrained(tmp_path)

        self.refuse(tmp_path, "not byte-level", mask_id=3, eos_id=3)

    def test_a_tokenizer_of_another_model(self) -> None:
        self.refuse(GOLDEN / "llada-tiny", "ids up to 525, the model only 500 rows", vocab_rows=500)
        self.refuse(GOLDEN / "llada-tiny", "mask token 544 is outside", mask_id=544)

    def test_it_never_runs_the_checkpoints_code_nor_asks(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        shutil.copytree(GOLDEN / "dream-tiny", tmp_path / "dream")
        (tmp_path / "dream" / "tokenization_dream.py").write_text("raise SystemExit('remote code ran')")
        monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked on stdin"))
        monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("used the network"))

        vocabulary = load_vocabulary(tmp_path / "dream", mask_id=535, eos_id=512, vocab_rows=544)

        assert vocabulary.fingerprint == load("dream-tiny").fingerprint


def test_a_template_without_added_tokens_still_renders() -> None:
    template = ChatTemplate(reference(load("dream-tiny")), [])

    assert template.render([{"role": "user", "content": "<|im_end|>"}]) == [
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n<|im_end|><|im_end|>\n"
        "<|im_start|>assistant\n"
    ]
