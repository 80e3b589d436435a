"""What comes out in the end: a family decodes as the method says, and in the engine as on its own."""

import threading
from typing import Any, Final

import torch

from tie_core.engine.engine import Engine
from tie_core.ensemble import Ensemble
from tie_core.events import Completed, Event, Failed
from tie_core.request import Request
from tie_core.testing.checking import NotChecked, hold
from tie_core.testing.specimen import Specimen, read_plainly

PROMPT: Final = "Anna has 4 boxes with 6 pens. How many pens?"
OPTIONS: Final[dict[str, Any]] = {"task": "open", "gen_length": 24, "block_size": 8, "interval": 8}
DEADLINE: Final = 600.0  # seconds


def check_decoding(specimen: Specimen) -> None:
    """An ensemble of this one member writes what plain decoding writes.

    Plain decoding is a loop over whole forwards of the family's own model: of the leftmost unfinished block the surest
    token is committed, one in a step, ties to the lowest position. Source: sections 2 and 4.1; M = 1 is no ensemble.
    """
    _need_exact(specimen)
    request = _request(specimen)
    (canvas,) = request.canvases
    expected = _decode(specimen, list(canvas.prompt), canvas.layout.length, canvas.layout.block_size)
    text = Ensemble("tie", [specimen.member]).answer(PROMPT, **OPTIONS).text
    plain = specimen.member.vocabulary.decode(specimen.member.vocabulary.until_end(expected))
    hold(text == plain, f"an ensemble of one writes {text!r}, plain decoding {plain!r}")


def _decode(specimen: Specimen, ids: list[int], length: int, block_size: int) -> list[int]:
    vocabulary, model = specimen.member.vocabulary, specimen.model
    forbidden = torch.tensor(vocabulary.forbidden_ids(model.vocab_rows))
    num_prompt = len(ids)
    ids = ids + [vocabulary.mask_id] * length
    for start in range(num_prompt, num_prompt + length, block_size):
        block = range(start, min(start + block_size, num_prompt + length))
        while masked := [at for at in block if ids[at] == vocabulary.mask_id]:
            logits = read_plainly(model, torch.tensor(ids), model.logits_are_shifted)[masked].float().cpu()  # [K, V]
            allowed = logits.index_fill(-1, forbidden, float("-inf"))
            best, tokens = allowed.max(dim=-1)
            surest = int((best - logits.logsumexp(dim=-1)).argmax())
            ids[masked[surest]] = int(tokens[surest])
    return ids[num_prompt:]


def check_engine(specimen: Specimen) -> None:
    """The engine, which batches, answers several requests at once as the plain driver answers each alone.

    With windows as well. Text and token change counts are equal, whoever shares the forwards. Source: section 4.2;
    `docs/architecture.md`, "The loop is a generator that runs no model".
    """
    _need_exact(specimen)
    ways: list[dict[str, Any]] = [
        {},
        {"cache": "window"},
        {"gen_length": 16, "score": "top1"},
        {"policy": "threshold", "tau": 0.01},
    ]
    alone = [_told(Ensemble("tie", [specimen.member]).answer(PROMPT, **OPTIONS | way)) for way in ways]
    engine = Engine([specimen.member])
    engine.start()
    try:
        listeners = [_Listener() for _ in ways]
        for way, listener in zip(ways, listeners, strict=True):
            engine.submit(_request(specimen, **way), listener)
        together = [_told(listener.wait()) for listener in listeners]
    finally:
        engine.close()
    for way, one, other in zip(ways, alone, together, strict=True):
        hold(one == other, f"{way or 'a request'} comes to {other} in the engine, and to {one} alone")


class _Listener:
    def __init__(self) -> None:
        self._end: Completed | Failed | None = None
        self._has_ended = threading.Event()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Completed | Failed):
            self._end = event
            self._has_ended.set()

    def wait(self) -> Completed:
        hold(self._has_ended.wait(DEADLINE), f"the engine gave no answer in {DEADLINE:.0f} s")
        if isinstance(self._end, Failed):
            raise AssertionError(f"the engine failed: {self._end.error}")
        assert self._end is not None
        return self._end


def _told(completed: Completed) -> tuple[str, dict[str, float | None]]:
    return completed.text, dict(completed.tie.scores)


def _request(specimen: Specimen, **options: Any) -> Request:
    return Ensemble("tie", [specimen.member]).request(prompt=PROMPT, **OPTIONS | options)


def _need_exact(specimen: Specimen) -> None:
    if not specimen.is_exact:
        raise NotChecked("runs are compared in float32 on the CPU alone, where bits are promised: load it there")
