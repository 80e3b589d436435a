import time
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.vocabularies import load
from tie_core.canvas import Canvas, Layout, blank_canvas
from tie_core.transcode import Transcoded, committed_prefix_text, transcode
from tie_core.vocabulary import Vocabulary

SUFFIX = "Answer:"
MASK = None
"""How the tests below write a masked position."""


def blank(vocabulary: Vocabulary, reasoning: int = 16, answer: int = 8) -> Canvas:
    suffix = vocabulary.encode(SUFFIX)
    layout = Layout(reasoning, len(suffix), answer, block_size=8, mask_id=vocabulary.mask_id)
    return blank_canvas(vocabulary.encode(f"A prompt for {vocabulary.name}"), suffix, layout)


def filled(canvas: Canvas, reasoning: Sequence[int | None] = (), answer: Sequence[int | None] = ()) -> Canvas:
    """The canvas with these tokens from each region's start; None and what is left are masked."""
    mask_id = canvas.layout.mask_id
    generated = list(canvas.generated)
    for region, tokens in (
        (canvas.layout.reasoning_region, reasoning),
        (canvas.layout.answer_region, answer),
    ):
        assert len(tokens) <= len(region)
        for position, token in zip(region, tokens, strict=False):
            generated[position] = mask_id if token is None else token
    return canvas.with_generated(tuple(generated), 0)


def in_full(canvas: Canvas, tokens: Sequence[int | None], filler: int) -> list[int | None]:
    """`tokens`, then `filler` to the end of the reasoning region."""
    return [*tokens, *[filler] * (canvas.layout.reasoning - len(tokens))]


def show(canvas: Canvas, vocabulary: Vocabulary, region: range) -> str:
    """The tokens of a region as text: `_` masked, `$` EOS, `#` end of turn, `|` between tokens."""
    signs = {vocabulary.mask_id: "_", vocabulary.eos_id: "$", vocabulary.end_of_turn_id: "#"}
    tokens = canvas.generated[region.start : region.stop]
    return "|".join(signs.get(token) or vocabulary.decode([token]) for token in tokens)


def reasoning_of(canvas: Canvas | None, vocabulary: Vocabulary) -> str:
    assert canvas is not None
    return show(canvas, vocabulary, canvas.layout.reasoning_region)


def answer_of(canvas: Canvas | None, vocabulary: Vocabulary) -> str:
    assert canvas is not None
    return show(canvas, vocabulary, canvas.layout.answer_region)


# The pair member writes two digits a token and letters one by one, the digit member one digit and whole words.
PAIRS = load("zoo-llada")
DIGITS = load("zoo-dream")


def relay(source: Canvas, reasoning: int = 16, answer: int = 8) -> Transcoded:
    """From the pair member to the digit member."""
    return transcode(source, PAIRS, blank(DIGITS, reasoning, answer), DIGITS)


def pair_canvas(
    reasoning: Sequence[int | None] = (), answer: Sequence[int | None] = (), size: tuple[int, int] = (16, 8)
) -> Canvas:
    return filled(blank(PAIRS, *size), reasoning, answer)


class TestSameVocabulary:
    def test_ids_are_copied_and_the_prompt_and_suffix_are_the_receivers(self) -> None:
        source = pair_canvas(PAIRS.encode(" rev=951413"))
        source = source.with_generated(source.generated, 8)
        receiver = replace(blank(PAIRS), prompt=(1, 2, 3))

        transcoded = transcode(source, PAIRS, receiver, PAIRS)

        assert transcoded == Transcoded(replace(source, prompt=(1, 2, 3)), "copied", 0)

    def test_a_canvas_that_the_receiver_has_is_identical(self) -> None:
        source = pair_canvas(PAIRS.encode(" rev=951413"))

        assert transcode(source, PAIRS, source, PAIRS) == Transcoded(source, "identical", 0)

    def test_islands_and_half_characters_are_copied_as_they_are(self) -> None:
        half = PAIRS.byte_token(0xE2)
        source = pair_canvas([half, MASK, half, PAIRS.encode("12")[0], MASK, MASK, half], [half])

        assert transcode(source, PAIRS, blank(PAIRS), PAIRS).canvas == source

    def test_the_block_origin_in_the_answer_moves_with_it(self) -> None:
        source = pair_canvas(PAIRS.encode("1234"))
        source = source.with_generated(source.generated, source.layout.answer_region.start)
        suffix = PAIRS.encode("longer " + SUFFIX)
        layout = replace(source.layout, suffix=len(suffix))

        transcoded = transcode(source, PAIRS, blank_canvas((1,), suffix, layout), PAIRS)

        assert transcoded.canvas is not None
        assert transcoded.canvas.block_origin == transcoded.canvas.layout.answer_region.start
        assert show(transcoded.canvas, PAIRS, layout.suffix_region).replace("|", "") == "longer Answer:"


class TestPrefix:
    def test_text_arrives_in_the_receivers_tokens(self) -> None:
        source = pair_canvas(PAIRS.encode(" rev=951413"))
        assert reasoning_of(source, PAIRS) == " |r|e|v|=|95|14|13" + "|_" * 8

        transcoded = relay(source)

        assert transcoded.result == "transcoded"
        assert transcoded.remasked == 0
        assert reasoning_of(transcoded.canvas, DIGITS) == " rev|=|9|5|1|4|1|3" + "|_" * 8

    def test_prompt_suffix_and_layout_are_the_receivers(self) -> None:
        receiver = blank(DIGITS)

        received = relay(pair_canvas(PAIRS.encode("12"))).canvas

        assert received is not None
        assert received.prompt == receiver.prompt
        assert received.layout == receiver.layout
        assert show(received, DIGITS, received.layout.suffix_region).replace("|", "") == SUFFIX

    def test_blocks_start_anew_at_the_first_mask(self) -> None:
        received = relay(pair_canvas(PAIRS.encode("1234"))).canvas

        assert received is not None
        assert received.block_origin == 4
        assert received.active_block == range(4, 12)
        assert received.is_at_block_boundary

    def test_what_the_receiver_wrote_before_is_gone(self) -> None:
        receiver = filled(blank(DIGITS), DIGITS.encode("tri=11"), DIGITS.encode("7"))

        received = transcode(pair_canvas(PAIRS.encode("12")), PAIRS, receiver, DIGITS).canvas

        assert reasoning_of(received, DIGITS) == "1|2" + "|_" * 14
        assert answer_of(received, DIGITS) == "_" + "|_" * 7

    def test_a_number_at_the_end_of_the_prefix_stays(self) -> None:
        assert reasoning_of(relay(pair_canvas(PAIRS.encode("=12"))).canvas, DIGITS).startswith("=|1|2|_")

    def test_half_a_character_at_its_end_stays_masked(self) -> None:
        euro = [PAIRS.byte_token(byte) for byte in "\u20ac".encode()]

        transcoded = relay(pair_canvas([*PAIRS.encode("12"), *euro[:2]]))

        assert reasoning_of(transcoded.canvas, DIGITS) == "1|2" + "|_" * 14
        assert transcoded.remasked == 2

    def test_a_whole_character_arrives(self) -> None:
        euro = [PAIRS.byte_token(byte) for byte in "\u20ac".encode()]

        transcoded = relay(pair_canvas([*euro, *PAIRS.encode("12")]))

        assert transcoded.canvas is not None
        assert committed_prefix_text(transcoded.canvas, DIGITS) == "\u20ac12".encode()

    def test_stray_bytes_within_arrive_as_they_are(self) -> None:
        stray = [PAIRS.byte_token(byte) for byte in (0xFF, 0x80, 0xE2)]

        transcoded = relay(pair_canvas([*stray, *PAIRS.encode("=12")]))

        assert transcoded.canvas is not None
        assert DIGITS.text_bytes(transcoded.canvas.generated[:6]) == b"\xff\x80\xe2=12"

    def test_a_special_token_carries_no_text(self) -> None:
        start_header = PAIRS.render_chat([{"role": "user", "content": ""}])[1]

        received = relay(pair_canvas([start_header, *PAIRS.encode("12")])).canvas

        assert reasoning_of(received, DIGITS) == "1|2" + "|_" * 14

    def test_nothing_committed_is_nothing_received(self) -> None:
        assert relay(pair_canvas()) == Transcoded(blank(DIGITS), "identical", 0)

    def test_a_prefix_that_fits_exactly_completes_the_region(self) -> None:
        received = relay(pair_canvas(PAIRS.encode("12345678"), size=(8, 8)), 8).canvas

        assert reasoning_of(received, DIGITS) == "1|2|3|4|5|6|7|8"
        assert received is not None
        assert received.block_origin == received.layout.answer_region.start

    def test_one_that_does_not_fit_is_refused_whole(self) -> None:
        source = pair_canvas(PAIRS.encode("123456789"), size=(8, 8))

        assert relay(source, 8) == Transcoded(None, "overflow", 0)

    def test_an_answer_that_does_not_fit_is_refused_whole(self) -> None:
        source = pair_canvas(PAIRS.encode("12") * 16, PAIRS.encode("123456789"))

        assert relay(source).canvas is None

    def test_a_byte_that_the_receiver_has_no_token_for_is_refused(self) -> None:
        source = pair_canvas([PAIRS.byte_token(0xFF), *PAIRS.encode("12")])
        without = replace(DIGITS, _byte_tokens=(None,) * 256)

        assert transcode(source, PAIRS, blank(DIGITS), without).result == "overflow"


class TestEndTokens:
    def test_they_keep_their_role(self) -> None:
        source = pair_canvas([*PAIRS.encode("12"), PAIRS.end_of_turn_id, PAIRS.eos_id])

        assert reasoning_of(relay(source).canvas, DIGITS).startswith("1|2|#|$|_|")

    def test_end_of_turn_is_eos_where_there_is_none(self) -> None:
        without = replace(DIGITS, end_of_turn_id=None, end_ids=frozenset({DIGITS.eos_id}))
        source = pair_canvas([PAIRS.end_of_turn_id])

        received = transcode(source, PAIRS, blank(DIGITS), without).canvas

        assert reasoning_of(received, DIGITS).startswith("$|_|")

    def test_padding_is_padding(self) -> None:
        pad = DIGITS.encode("%")[0]
        padded = replace(DIGITS, pad_id=pad, end_ids=DIGITS.end_ids | {pad})
        other = replace(PAIRS, pad_id=PAIRS.encode("%")[0])
        source = filled(blank(DIGITS), [*DIGITS.encode("1"), pad])

        received = transcode(source, padded, blank(PAIRS), other).canvas

        assert reasoning_of(received, PAIRS).startswith("1|%|_")

    def test_a_run_to_the_regions_end_reaches_it_with_fewer(self) -> None:
        source = pair_canvas(in_full(blank(PAIRS), PAIRS.encode("123456"), PAIRS.eos_id))

        assert reasoning_of(relay(source).canvas, DIGITS) == "1|2|3|4|5|6" + "|$" * 10

    def test_and_with_more(self) -> None:
        source = filled(blank(DIGITS), in_full(blank(DIGITS), DIGITS.encode("12345678"), DIGITS.eos_id))

        received = transcode(source, DIGITS, blank(PAIRS), PAIRS).canvas

        assert reasoning_of(received, PAIRS) == "12|34|56|78" + "|$" * 12

    def test_and_behind_masks(self) -> None:
        gap: list[int | None] = [MASK, MASK]
        source = pair_canvas(in_full(blank(PAIRS), [*PAIRS.encode("1234"), *gap], PAIRS.eos_id))

        assert reasoning_of(relay(source).canvas, DIGITS) == "1|2|3|4|_|_" + "|$" * 10

    def test_they_give_way_to_text(self) -> None:
        source = pair_canvas([*PAIRS.encode("12345678"), *[PAIRS.eos_id] * 3], size=(12, 8))

        assert reasoning_of(relay(source, 12).canvas, DIGITS) == "1|2|3|4|5|6|7|8|$|$|$|_"

        source = pair_canvas([PAIRS.eos_id, *PAIRS.encode("12345678"), *[PAIRS.eos_id] * 3], size=(9, 8))

        assert reasoning_of(relay(source, 9).canvas, DIGITS) == "$|1|2|3|4|5|6|7|8"

    def test_half_a_character_before_one_is_no_half(self) -> None:
        source = pair_canvas([PAIRS.byte_token(0xE2), PAIRS.eos_id])

        received = relay(source).canvas

        assert received is not None
        assert DIGITS.text_bytes(received.generated[:1]) == b"\xe2"
        assert received.generated[1] == DIGITS.eos_id


class TestCompleteReasoning:
    TEXT = " rev=951413 rev=951413"  # 16 tokens of the pair member, 16 of the digit member

    def test_it_stays_complete_once_the_answer_has_begun(self) -> None:
        full = DIGITS.encode("1234567812345678")
        source = filled(blank(DIGITS), full, DIGITS.encode("12"))

        received = transcode(source, DIGITS, blank(PAIRS), PAIRS).canvas

        assert reasoning_of(received, PAIRS) == "12|34|56|78|12|34|56|78" + "|$" * 8
        assert answer_of(received, PAIRS) == "12" + "|_" * 7
        assert received is not None
        assert received.block_origin == received.layout.answer_region.start + 1

    def test_before_that_the_receiver_may_go_on(self) -> None:
        source = filled(blank(DIGITS), DIGITS.encode("1234567812345678"))

        received = transcode(source, DIGITS, blank(PAIRS), PAIRS).canvas

        assert reasoning_of(received, PAIRS) == "12|34|56|78|12|34|56|78" + "|_" * 8

    def test_the_same_number_of_tokens_leaves_no_room(self) -> None:
        received = relay(pair_canvas(PAIRS.encode(self.TEXT))).canvas

        assert reasoning_of(received, DIGITS).count("|") == 15
        assert "_" not in reasoning_of(received, DIGITS)
        assert received is not None
        assert received.first_masked == received.layout.answer_region.start

    def test_a_complete_answer_stays_complete(self) -> None:
        source = filled(blank(DIGITS), DIGITS.encode("1234567812345678"), DIGITS.encode("12345678"))

        received = transcode(source, DIGITS, blank(PAIRS), PAIRS).canvas

        assert answer_of(received, PAIRS) == "12|34|56|78|$|$|$|$"
        assert received is not None
        assert received.is_complete
        assert received.block_origin == 0

    def test_half_a_character_that_nothing_can_complete_arrives(self) -> None:
        source = pair_canvas(in_full(blank(PAIRS), [], PAIRS.eos_id), [*PAIRS.encode("=") * 7, PAIRS.byte_token(0xE2)])

        received = relay(source).canvas

        assert received is not None
        assert DIGITS.text_bytes(received.generated[-1:]) == b"\xe2"

    def test_without_an_answer_region_the_reasoning_is_the_end(self) -> None:
        source = filled(blank(DIGITS, answer=0), DIGITS.encode("1234567812345678"))

        received = transcode(source, DIGITS, blank(PAIRS, answer=0), PAIRS).canvas

        assert received is not None
        assert received.is_complete

    def test_without_a_reasoning_region_the_answer_is_all(self) -> None:
        source = filled(blank(DIGITS, reasoning=0), (), DIGITS.encode("1234"))

        received = transcode(source, DIGITS, blank(PAIRS, reasoning=0), PAIRS).canvas

        assert answer_of(received, PAIRS) == "12|34" + "|_" * 6


class TestIslands:
    def test_order_and_gaps_are_kept(self) -> None:
        source = pair_canvas([*PAIRS.encode("12"), MASK, MASK, *PAIRS.encode("= rev="), MASK, *PAIRS.encode("=")])

        transcoded = relay(source)

        assert reasoning_of(transcoded.canvas, DIGITS) == "1|2|_|_|=| rev|=|_|=" + "|_" * 7
        assert transcoded.remasked == 0
        assert transcoded.canvas is not None
        assert transcoded.canvas.block_origin == 2

    def test_half_a_number_at_an_edge_is_masked_again(self) -> None:
        source = pair_canvas([MASK, *PAIRS.encode("12=3456"), MASK])

        transcoded = relay(source)

        assert reasoning_of(transcoded.canvas, DIGITS) == "_|_|=" + "|_" * 13
        assert transcoded.remasked == 3

    def test_a_number_inside_stays(self) -> None:
        source = pair_canvas([MASK, *PAIRS.encode("=1234="), MASK])

        assert reasoning_of(relay(source).canvas, DIGITS).startswith("_|=|1|2|3|4|=|_")

    def test_a_number_at_the_regions_end_stays(self) -> None:
        source = pair_canvas(
            in_full(blank(PAIRS), [], PAIRS.eos_id), [MASK, MASK, MASK, MASK, MASK, MASK, *PAIRS.encode("=4")]
        )

        assert answer_of(relay(source).canvas, DIGITS) == "_|_|_|_|_|_|=|4"

    def test_half_a_character_at_an_edge_is_masked_again(self) -> None:
        euro = [PAIRS.byte_token(byte) for byte in "\u20ac".encode()]
        source = pair_canvas([MASK, euro[2], *PAIRS.encode("="), euro[0], MASK, *PAIRS.encode("=")])

        transcoded = relay(source)

        assert reasoning_of(transcoded.canvas, DIGITS) == "_|_|=|_|_|=" + "|_" * 10
        assert transcoded.remasked == 2

    def test_one_that_is_half_a_number_is_masked_again(self) -> None:
        source = pair_canvas([*PAIRS.encode("="), MASK, *PAIRS.encode("1234"), MASK, *PAIRS.encode("=")])

        transcoded = relay(source)

        assert reasoning_of(transcoded.canvas, DIGITS) == "=|_|_|_|_|=" + "|_" * 10
        assert transcoded.remasked == 2

    def test_one_that_does_not_fit_is_masked_again_and_the_prefix_stays(self) -> None:
        source = pair_canvas([*PAIRS.encode("12345678"), MASK, *PAIRS.encode("=12="), MASK], size=(10, 8))

        transcoded = relay(source, 10)

        assert reasoning_of(transcoded.canvas, DIGITS) == "1|2|3|4|5|6|7|8|_|_"
        assert transcoded.remasked == 3

    def test_an_end_token_guards_an_edge(self) -> None:
        source = pair_canvas([MASK, PAIRS.eos_id, *PAIRS.encode("12"), PAIRS.eos_id, MASK])

        assert reasoning_of(relay(source).canvas, DIGITS).startswith("_|$|1|2|$|_|")


class TestCommittedPrefixText:
    def test_it_ends_at_the_first_mask(self) -> None:
        canvas = pair_canvas([*PAIRS.encode("12"), MASK, *PAIRS.encode("34")])

        assert committed_prefix_text(canvas, PAIRS) == b"12"

    def test_it_goes_on_through_the_answer_once_the_reasoning_is_complete(self) -> None:
        canvas = pair_canvas(in_full(blank(PAIRS), PAIRS.encode("12"), PAIRS.eos_id), PAIRS.encode("34"))

        assert committed_prefix_text(canvas, PAIRS) == b"1234"

    def test_it_is_the_same_however_the_text_is_composed_and_without_a_half(self) -> None:
        decomposed = [PAIRS.byte_token(byte) for byte in b"e\xcc\x81\xff\xe2\x82"]

        assert committed_prefix_text(pair_canvas(decomposed), PAIRS) == b"\xc3\xa9\xff"


@pytest.mark.parametrize(("source", "target"), [("qwen2.5", "deepseek"), ("dream-tiny", "llada-tiny")])
def test_it_takes_about_a_millisecond(source: str, target: str) -> None:
    giving, receiving = load(source), load(target)
    tokens = giving.encode("Anna has 4 boxes with 6 pens each. So she has 4 * 6 = 24 pens in all. " * 3)[:150]
    canvas = filled(blank(giving, 224, 32), tokens)
    receiver = blank(receiving, 224, 32)
    durations = []
    for _ in range(30):
        start = time.thread_time()
        assert transcode(canvas, giving, receiver, receiving).canvas is not None
        durations.append(time.thread_time() - start)

    assert min(durations) < 0.002
