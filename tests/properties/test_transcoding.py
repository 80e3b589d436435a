"""Section 6 of the spec on random canvases of every pair of tokenizers: golden, zoo, and two real ones."""

import random
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import groupby, permutations

import pytest

from tests.vocabularies import TOKENIZERS, available, load
from tie_core.canvas import Canvas, Layout, blank_canvas
from tie_core.transcode import committed_prefix_text, transcode
from tie_core.vocabulary import Vocabulary

CANVASES_PER_PAIR = 260
SNIPPETS = (
    "Anna has 4 boxes with 6 pens. ",
    "So 4 * 6 = 24, 24 + 1,000,000 = 1000024; ",
    "3.14159 ",
    " rev=951413 inc=382939",
    "def f(x):\n    return x[1:]\n\n",
    "\t\r\n  \n",
    "caf\u00e9 na\u00efve \u00c5ngstr\u00f6m ",
    "cafe\u0301 n\u0303 a\u0323\u0302 ",
    "\u4f60\u597d\uff0c\u4e16\u754c\u3002",
    "\u3053\u3093\u306b\u3061\u306f",
    "\ud55c\uad6d\uc5b4 \u1112\u1161\u11ab",
    "\u0645\u0631\u062d\u0628\u0627 ",
    "\u0928\u092e\u0938\u094d\u0924\u0947 ",
    "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467\U0001f1e9\U0001f1ea",
    "\u0663\u0664\u0665 \uff11\uff12 \u2167 ",
    "\x00\x7f\ufffd\ufeff\u200b",
    "<|im_end|><|mdm_mask|><tool_call>",
    "\u212b \u2126 \ufb01 ",
    "x",
    " ",
    "7",
    "\U000f0000",
)


@dataclass(frozen=True, slots=True)
class Case:
    """A random canvas of a source, and the blank one of the receiver."""

    canvas: Canvas
    receiver: Canvas


def make_case(rng: random.Random, source: Vocabulary, target: Vocabulary) -> Case:
    reasoning, answer = rng.choice((8, 16, 32, 64, 128)), rng.choice((0, 4, 16))
    block_size = rng.choice((4, 8, 16))
    blank = make_blank(rng, source, reasoning, answer, block_size)
    receiver = make_blank(rng, target, reasoning, answer, block_size)
    return Case(with_commits(rng, blank, source), receiver)


def make_blank(rng: random.Random, vocabulary: Vocabulary, reasoning: int, answer: int, block_size: int) -> Canvas:
    suffix = vocabulary.encode("Answer:")
    layout = Layout(reasoning, len(suffix), answer, block_size, vocabulary.mask_id)
    return blank_canvas(vocabulary.encode(rng.choice(SNIPPETS)), suffix, layout)


def with_commits(rng: random.Random, canvas: Canvas, vocabulary: Vocabulary) -> Canvas:
    """What decoding may leave: a prefix, perhaps a half-decoded block behind it, an answer behind whole reasoning."""
    layout = canvas.layout
    generated = list(canvas.generated)
    is_reasoned = rng.random() < 0.3
    if not is_reasoned or not layout.answer:
        fill_region(rng, generated, layout.reasoning_region, layout, vocabulary)
    else:
        tokens = make_tokens(rng, vocabulary, layout.reasoning)
        generated[: layout.reasoning] = tokens
        fill_region(rng, generated, layout.answer_region, layout, vocabulary)
    return canvas.with_generated(tuple(generated), rng.choice((0, layout.block_size)))


def fill_region(
    rng: random.Random, generated: list[int], region: range, layout: Layout, vocabulary: Vocabulary
) -> None:
    num_whole = rng.randrange(0, len(region) + 1)
    if rng.random() < 0.5:
        num_whole -= num_whole % layout.block_size
    start = region.start + num_whole
    generated[region.start : start] = make_tokens(rng, vocabulary, num_whole)
    if rng.random() < 0.5:
        return
    block = range(start, min(start + layout.block_size, region.stop))
    for position, token in zip(block, make_tokens(rng, vocabulary, len(block)), strict=True):
        if rng.random() < 0.6:
            generated[position] = token
    if rng.random() < 0.3:
        num_ends = rng.randrange(0, len(region) + 1)
        generated[region.stop - num_ends : region.stop] = [vocabulary.eos_id] * num_ends


def make_tokens(rng: random.Random, vocabulary: Vocabulary, count: int) -> list[int]:
    """Text, random ids, end tokens and cut characters, in a random mixture. Never the mask."""
    style = rng.random()
    tokens: list[int] = []
    if style < 0.2:
        tokens = [random_id(rng, vocabulary) for _ in range(count)]
    while len(tokens) < count:
        text = list(vocabulary.encode("".join(rng.choices(SNIPPETS, k=rng.randint(1, 6)))))
        tokens += text[rng.randint(0, 2) : rng.randint(1, len(text) + 1)]
        if style < 0.6 and rng.random() < 0.3:
            tokens += rng.choices(sorted(vocabulary.end_ids), k=rng.randint(1, 4))
        if style < 0.8 and rng.random() < 0.2:
            tokens.append(random_id(rng, vocabulary))
        if style > 0.9 and len(tokens) > count // 2:
            tokens += [vocabulary.eos_id] * count
    return tokens[:count]


@cache
def forbidden_ids(vocabulary: Vocabulary) -> frozenset[int]:
    return frozenset(vocabulary.forbidden_ids(vocabulary.size))


def random_id(rng: random.Random, vocabulary: Vocabulary) -> int:
    while (token := rng.randrange(vocabulary.size)) in forbidden_ids(vocabulary):
        pass
    return token


def runs(canvas: Canvas, vocabulary: Vocabulary, region: range) -> Iterator[tuple[bool, list[int]]]:
    """Masks and committed tokens of a region in turn."""
    ids = canvas.generated[region.start : region.stop]
    for is_mask, run in groupby(ids, key=vocabulary.mask_id.__eq__):
        yield is_mask, list(run)


def texts(canvas: Canvas, vocabulary: Vocabulary, region: range) -> list[str]:
    """The text of each committed run, composed: a tokenizer that normalises (NFC) composes what it encodes."""
    data = [vocabulary.text_bytes(run) for is_mask, run in runs(canvas, vocabulary, region) if not is_mask]
    return [unicodedata.normalize("NFC", run.decode("utf-8", "surrogateescape")) for run in data]


def gaps(canvas: Canvas, vocabulary: Vocabulary, region: range) -> list[int]:
    return [len(run) for is_mask, run in runs(canvas, vocabulary, region) if is_mask]


def assert_sound(received: Canvas, receiver: Canvas, target: Vocabulary) -> None:
    """Right ids, right places: what no relay may break whatever it was given."""
    layout = receiver.layout
    suffix = slice(layout.suffix_region.start, layout.suffix_region.stop)
    assert received.prompt == receiver.prompt
    assert received.layout == layout
    assert received.generated[suffix] == receiver.generated[suffix]
    committed = set(received.generated) - {target.mask_id}
    assert committed.isdisjoint(forbidden_ids(target))
    assert all(0 <= token < target.size for token in committed)
    assert received.block_origin == (received.first_masked or 0)
    if received.masked(layout.reasoning_region):
        assert len(received.masked(layout.answer_region)) == layout.answer


def assert_islands_in_order(case: Case, received: Canvas, source: Vocabulary, target: Vocabulary) -> None:
    for given, arrived in regions(case.canvas, received):
        texts_given = iter(texts(case.canvas, source, given))
        for text in texts(received, target, arrived):
            assert any(text in whole for whole in texts_given), "an island changed its text or its place"


def assert_gaps_kept(case: Case, received: Canvas, source: Vocabulary, target: Vocabulary) -> None:
    """Every gap but the last, which takes what the texts leave. Only where nothing was masked again."""
    for given, arrived in regions(case.canvas, received):
        gaps_arrived = gaps(received, target, arrived)
        assert gaps_arrived[:-1] == gaps(case.canvas, source, given)[: max(0, len(gaps_arrived) - 1)]


def regions(given: Canvas, arrived: Canvas) -> tuple[tuple[range, range], tuple[range, range]]:
    return (
        (given.layout.reasoning_region, arrived.layout.reasoning_region),
        (given.layout.answer_region, arrived.layout.answer_region),
    )


@pytest.mark.parametrize("name", TOKENIZERS)
def test_the_same_tokenizer_is_the_identity(name: str) -> None:
    vocabulary = load(name)
    rng = random.Random(name)
    for _ in range(100):
        case = make_case(rng, vocabulary, vocabulary)
        transcoded = transcode(case.canvas, vocabulary, case.receiver, vocabulary)
        assert transcoded.remasked == 0
        assert transcoded.canvas == replace(case.canvas, prompt=case.receiver.prompt)


@pytest.mark.timeout(300)
def test_there_and_back_keeps_the_committed_text(figure: Callable[[str], None]) -> None:
    names = available()
    counts: Counter[str] = Counter()
    for first, second in permutations(names, 2):
        rng = random.Random(f"{first} {second}")
        for number in range(CANVASES_PER_PAIR):
            case = make_case(rng, load(first), load(second))
            try:
                counts.update(there_and_back(case, load(first), load(second)))
            except AssertionError as error:
                error.add_note(f"{first} to {second}, canvas {number}")
                raise
    counted = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
    figure(f"transcoding: {counted}; {', '.join(names)}")
    num_pairs = len(names) * (len(names) - 1)
    assert counts["there and back"] >= 5_000 * num_pairs // 30
    assert counts["with islands"] >= 500 * num_pairs // 30


def there_and_back(case: Case, source: Vocabulary, target: Vocabulary) -> list[str]:
    """Check one canvas; what it was an instance of, for the counts."""
    text = committed_prefix_text(case.canvas, source)
    given = transcode(case.canvas, source, case.receiver, target)
    if given.canvas is None:
        return ["overflowed"]
    assert_sound(given.canvas, case.receiver, target)
    assert committed_prefix_text(given.canvas, target) == text
    assert_islands_in_order(case, given.canvas, source, target)
    if not given.remasked:
        assert_gaps_kept(case, given.canvas, source, target)
    has_islands = any(
        len(texts(given.canvas, target, arrived)) > 1 for _, arrived in regions(case.canvas, given.canvas)
    )
    returned = transcode(given.canvas, target, case.canvas, source)
    if returned.canvas is None:
        return ["overflowed on the way back"]
    assert_sound(returned.canvas, case.canvas, source)
    assert committed_prefix_text(returned.canvas, source) == text
    return ["there and back", "with islands"] if has_islands else ["there and back"]
