"""What the engine relies on in a family's forwards: shapes, packing, shift, windows, sight, determinism."""

from typing import Final

import torch
from safetensors.torch import load_file
from torch import Tensor

from tie_core.canvas import Canvas, Commit, Layout, blank_canvas
from tie_core.errors import MemberError, PromptError
from tie_core.member import Query
from tie_core.models.key_values import CanvasCache
from tie_core.prediction import Prediction
from tie_core.prompting import prompt_ids
from tie_core.testing.checking import NotChecked, hold
from tie_core.testing.specimen import Specimen, read_packed, read_plainly
from tie_core.vocabulary import Vocabulary

LENGTHS: Final = (33, 5, 16, 64, 17, 1)
RECORDED_TOLERANCE: Final = 5e-5


def check_shapes(specimen: Specimen) -> None:
    """Logits have the shape, dtype and device that the checkpoint says, and are finite.

    Logits `[B, T, V]`, predictions `[K, V]`, what the head reads `[K, W]`, with V the model's rows of the vocabulary.
    Source: `MaskPredictor`'s contract.
    """
    model, rows = specimen.model, specimen.model.vocab_rows
    canvas = specimen.random_canvas(17, seed=1)
    whole = model.logits(torch.stack([canvas, canvas]))
    chosen = model.predict(canvas, [17], torch.tensor([3, 0, 16]))
    none = model.predict(canvas, [17], torch.arange(0))
    hidden = model.hidden(canvas, [17], torch.tensor([3, 0]))

    hold(whole.shape == (2, 17, rows), f"logits of two canvases of 17 are {_shape(whole)}, not [2, 17, {rows}]")
    hold(chosen.shape == (3, rows), f"three predicted positions are {_shape(chosen)}, not [3, {rows}]")
    hold(none.shape == (0, rows), f"no predicted positions are {_shape(none)}, not [0, {rows}]")
    width = model.head_weight.shape[1]
    hold(
        model.head_weight.shape[0] == rows, f"the head has {model.head_weight.shape[0]} rows of a vocabulary of {rows}"
    )
    hold(hidden.shape == (2, width), f"the hidden rows of two positions are {_shape(hidden)}, not [2, {width}]")
    for name, tensor in {"logits": whole, "predictions": chosen}.items():
        hold(tensor.dtype == model.dtype, f"{name} are {tensor.dtype}, the model is {model.dtype}")
        hold(tensor.device.type == model.device.type, f"{name} are on {tensor.device}, the model is on {model.device}")
        hold(bool(tensor.isfinite().all()), f"{name} are not all finite in {model.dtype}")


def check_packing(specimen: Specimen) -> None:
    """A canvas is predicted as alone, whatever it is packed with, in any order and by any number of lanes.

    Bit for bit in float32 on the CPU, else within a share of the largest logit. Token change counts count argmax
    changes, so what a canvas's neighbours change would be noise of the method. Source: section 4.2 (the history that
    TCC reads); `docs/architecture.md`, "One forward for many canvases".
    """
    model = specimen.model
    canvases = [specimen.random_canvas(length, seed) for seed, length in enumerate(LENGTHS)]
    positions = [torch.arange(0, len(canvas), 1 + number % 3) for number, canvas in enumerate(canvases)]
    alone = [read_packed(model, [canvas], [asked])[0] for canvas, asked in zip(canvases, positions, strict=True)]
    numbers = range(len(canvases))
    for order in ([*numbers], [*reversed(numbers)], [3, 0], [1, 1, 4]):
        for num_lanes in (1, 2) if model.device.type == "cpu" else (1,):
            model.lanes.open(num_lanes, 1)
            try:
                packed = read_packed(model, [canvases[each] for each in order], [positions[each] for each in order])
            finally:
                model.lanes.open(1, 1)
            for number, rows in zip(order, packed, strict=True):
                _hold_same(specimen, rows, alone[number], f"canvas {number} among {order}, {num_lanes} lanes")


def _hold_same(specimen: Specimen, rows: Tensor, alone: Tensor, where: str) -> None:
    if specimen.is_exact:
        hold(
            torch.equal(rows, alone), f"{where}: not the bits of the canvas alone: something depends on the neighbours"
        )
    far = specimen.distance(rows, alone)
    hold(specimen.are_near(rows, alone), f"{where}: {far:.2g} of the largest logit from the canvas alone")


def check_shift(specimen: Specimen) -> None:
    """A position is predicted by the row that `logits_are_shifted` says: its own, or the one to its left.

    The packed forward against the family's own forward of one canvas. Source: the published
    implementations (LLaDA reads its own row; Dream, once autoregressive, the one to the left, and position 0 its own).
    """
    model = specimen.model
    for length in (1, 2, 33):
        canvas = specimen.random_canvas(length, seed=length)
        (packed,) = read_packed(model, [canvas], [torch.arange(length)])
        declared = read_plainly(model, canvas, model.logits_are_shifted)
        if specimen.are_near(packed, declared):
            continue
        other = read_plainly(model, canvas, not model.logits_are_shifted)
        words = (
            f"a canvas of {length} is not predicted by the rows that logits_are_shifted={model.logits_are_shifted} says"
        )
        reads_other = length > 1 and specimen.are_near(packed, other)
        raise AssertionError(f"{words}: it reads those of the other convention" if reads_other else words)


def check_known_reply(specimen: Specimen) -> None:
    """The reply that the model should know is predicted better by the declared shift than by the other one.

    Every token of the reply is masked alone. It is the one check that tells whether `logits_are_shifted` is right for
    these weights without a recording, so it needs weights that were trained. Source: as `check_shift`.
    """
    if specimen.known is None:
        raise NotChecked("give a prompt and the reply that the model should know")
    vocabulary, model = specimen.member.vocabulary, specimen.model
    prompt, reply = specimen.known
    before = _asked(vocabulary, prompt)
    tokens = vocabulary.encode(reply)
    hold(len(tokens) > 1, "the known reply has fewer than two tokens: give a longer one")
    gained = 0.0
    for number, token in enumerate(tokens):
        masked = (*before, *tokens[:number], vocabulary.mask_id, *tokens[number + 1 :])
        at = len(before) + number
        rows = model.logits(torch.tensor([masked]))[0]  # [T, V]
        own, left = (float(rows[row].float().log_softmax(-1)[token]) for row in (at, max(at - 1, 0)))
        gained += left - own if model.logits_are_shifted else own - left
    words = f"logits_are_shifted={model.logits_are_shifted} predicts the known reply worse than the other convention"
    hold(
        gained > 0, f"{words}, by {-gained / len(tokens):.2f} nats a token: is the shift right, and is the reply known?"
    )


def _asked(vocabulary: Vocabulary, prompt: str) -> tuple[int, ...]:
    try:
        return prompt_ids(vocabulary, messages=[{"role": "user", "content": prompt}])
    except PromptError:  # no chat template
        return prompt_ids(vocabulary, prompt=prompt)


def check_sight(specimen: Specimen) -> None:
    """Every position sees all others: the last token reaches the first prediction, and the first one the last.

    The answer is probed while the reasoning is still masks, so a model that is causal, or causal between blocks, cannot
    be assessed. Source: sections 4.1 and 4.2.
    """
    length = 48
    canvas = specimen.random_canvas(length, seed=7)
    before = read_packed(specimen.model, [canvas], [torch.arange(length)])[0]
    for changed, seen_at, words in ((length - 1, 0, "last"), (0, length - 1, "first"), (length // 2, 0, "middle")):
        other = canvas.clone()
        other[changed] = (other[changed] + 1) % specimen.member.vocabulary.size
        after = read_packed(specimen.model, [other], [torch.arange(length)])[0]
        hold(
            not torch.equal(before[seen_at], after[seen_at]),
            f"another {words} token changes nothing at position {seen_at}: attention is not bidirectional",
        )


def check_windows(specimen: Specimen) -> None:
    """A window of a canvas, against kept keys and values, is predicted as in the whole canvas.

    Three times: read whole; a part of what is unchanged read again; and every position read again after a commit. What
    `cache: window` approximates is left out: here nothing may differ but floating-point noise. Source: ours,
    `docs/window-cache.md`.
    """
    canvas, kept = _blank(specimen, prompt_length=11), CanvasCache()
    _hold_near(specimen, _read(specimen, canvas, canvas.watched, kept), canvas, "a canvas that is kept")
    part = tuple(position for position in canvas.watched if position % 2)
    _hold_near(specimen, _read(specimen, canvas, part, kept, fresh=part), canvas, "a window of an unchanged canvas")

    canvas, kept = _blank(specimen, prompt_length=0), CanvasCache()
    _read(specimen, canvas, canvas.watched, kept)
    token = int(specimen.random_canvas(1, seed=3)[0])
    canvas = canvas.commit([Commit(canvas.watched[2], token, 0.5)])
    everything = tuple(range(canvas.layout.length))
    read = _read(specimen, canvas, canvas.watched, kept, fresh=everything)
    _hold_near(specimen, read, canvas, "a window of all positions after a commit")


def _hold_near(specimen: Specimen, read: Prediction, canvas: Canvas, where: str) -> None:
    """By what the scores read of each position."""
    whole = _read(specimen, canvas, read.positions)
    one, other = (torch.tensor([each.top1, each.negative_entropy]) for each in (read, whole))
    far = specimen.distance(one, other)
    hold(specimen.are_near(one, other), f"{where}: confidence is {far:.2g} of the largest from that of a whole forward")


def _read(
    specimen: Specimen,
    canvas: Canvas,
    watched: tuple[int, ...],
    cache: CanvasCache | None = None,
    fresh: tuple[int, ...] | None = None,
) -> Prediction:
    (prediction,) = specimen.member.predict([Query(canvas, watched, "off", cache, fresh)])
    if isinstance(prediction, MemberError):
        raise AssertionError(f"a forward failed: {prediction}")
    return prediction


def _blank(specimen: Specimen, prompt_length: int) -> Canvas:
    """Twelve masks behind a random prompt."""
    mask_id, eos_id = specimen.member.vocabulary.mask_id, specimen.member.vocabulary.eos_id
    prompt = tuple(specimen.random_canvas(prompt_length, seed=5).tolist())
    return blank_canvas(prompt, (), Layout(12, 0, 0, 12, mask_id, eos_id))


def check_determinism(specimen: Specimen) -> None:
    """The same canvas gives the same bits again, whatever was read in between, and no gradients are recorded.

    Another reading by the same member, or by the one that takes over when a worker is replaced, must not differ: it
    would count as a change of mind. Source: section 4.2 (token change count).
    """
    model, canvas = specimen.model, specimen.random_canvas(40, seed=11)
    first = model.predict(canvas, [40], torch.arange(40))
    model.predict(specimen.random_canvas(64, seed=12), [64], torch.arange(64))
    for reader, words in ((model, "again"), (specimen.member.renewed().model, "by a renewed member")):
        read = reader.predict(canvas, [40], torch.arange(40))
        hold(
            torch.equal(read, first),
            f"the same canvas, read {words}, gives other bits: is dropout on, or a state kept?",
        )
    hold(not first.requires_grad, "a forward records gradients")


def check_recorded(specimen: Specimen) -> None:
    """The forward is that of the family's original implementation, as it was recorded.

    The recording is a safetensors file with `input_ids [B, T]`, `logits [B, T, V]` (raw, unshifted, float32) and, where
    rows are padded, `attention_mask [B, T]`. Nothing else shows that `read_config` and `rename` are right. Source:
    `tests/golden/README.md`.
    """
    if specimen.recorded is None:
        raise NotChecked("give a recorded forward of the original implementation")
    if specimen.model.dtype != torch.float32:
        raise NotChecked("recordings are compared in float32: load the checkpoint in it")
    recorded = load_file(specimen.recorded)
    missing = {"input_ids", "logits"} - recorded.keys()
    hold(not missing, f"the recording has no {' and no '.join(sorted(missing))}")
    mask = recorded.get("attention_mask")
    logits = specimen.model.logits(recorded["input_ids"], mask).cpu()
    hold(
        logits.shape == recorded["logits"].shape, f"logits are {_shape(logits)}, recorded {_shape(recorded['logits'])}"
    )
    errors = (logits - recorded["logits"]).abs()
    error = float((errors if mask is None else errors[mask.bool()]).max())
    hold(error < RECORDED_TOLERANCE, f"logits are {error:.2g} from the recorded ones: wrong weights or configuration")


def _shape(tensor: Tensor) -> str:
    return str(list(tensor.shape))
