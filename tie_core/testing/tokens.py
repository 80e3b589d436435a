"""What the engine relies on in a family's tokens: mask, what may be committed, bytes there and back, the template."""

import unicodedata
from copy import copy
from dataclasses import replace
from typing import Final, get_args

import torch
from torch import Tensor

from tie_core.canvas import Canvas, Commit, Layout, blank_canvas
from tie_core.errors import MemberError, PromptError
from tie_core.member import Query
from tie_core.models.mask_predictor import MaskPredictor
from tie_core.models.token_ids import added_tokens
from tie_core.options import SuppressEnd
from tie_core.testing.checking import NotChecked, hold
from tie_core.testing.specimen import Specimen, read_plainly
from tie_core.transcode import transcode
from tie_core.vocabulary import load_vocabulary

NUM_CANVASES: Final = 4
LENGTH: Final = 48
TEXTS: Final = (
    "",
    "Anna has 4 boxes with 6 pens. How many pens?",
    "  leading,\ttabs\n\n\nand trailing  ",
    "1234567 + 89 = 1,234,656; 3.14159",
    "na\u00efve caf\u00e9 \u4f60\u597d\uff0c\u4e16\u754c \U0001f600",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 \u0928\u092e\u0938\u094d\u0924\u0947",
    "NUL \x00 and \x7f and \ufffd and \U000f0000",
    "def f(x):\r\n    return {'a': x}\r\n",
)


def check_mask(specimen: Specimen) -> None:
    """The mask is a token of its own: no end token, no text, spelled as the tokenizer's mask is.

    Where added tokens are spelled like a mask, it is one of them: another id would leave the real mask free to be
    committed, and fill canvases with a token that means something else to the model. Source: section 2 (masked
    diffusion); the special tokens of the published checkpoints.
    """
    vocabulary, model = specimen.member.vocabulary, specimen.model
    mask_id = vocabulary.mask_id
    hold(mask_id == model.mask_id, f"the vocabulary's mask is {mask_id}, the model's {model.mask_id}")
    hold(0 <= mask_id < model.vocab_rows, f"the mask {mask_id} is outside the model's {model.vocab_rows} rows")
    ends = {"EOS": vocabulary.eos_id, "padding": vocabulary.pad_id, "end of turn": vocabulary.end_of_turn_id}
    for role, token in ends.items():
        hold(token != mask_id, f"the {role} token is the mask, {mask_id}")
    hold(mask_id not in vocabulary.end_ids, f"the mask {mask_id} is among the end tokens")
    hold(vocabulary.token_bytes(mask_id) == b"", f"the mask {mask_id} has text: {vocabulary.decode([mask_id])!r}")
    spelled = {spelling: token for spelling, token in added_tokens(specimen.folder).items() if _is_mask(spelling)}
    named = ", ".join(f"{spelling} ({token})" for spelling, token in spelled.items())
    hold(not spelled or mask_id in spelled.values(), f"the mask is {mask_id}, but the tokenizer's is {named}")


def _is_mask(spelling: str) -> bool:
    return "mask" in spelling.lower()


def check_proposals(specimen: Specimen) -> None:
    """No step commits the mask or a row without a token, and statistics are of the model's own distribution.

    Over masks among random tokens, under every `suppress_end`: what is proposed is the model's surest token of those
    that may be committed, and the argmax that scores read may be any. So that the two differ, a copy of the head has
    the rows of the mask and of the model's favourite token exchanged. Source: section 4.2; `docs/paper-map.md`.
    """
    vocabulary, model = specimen.member.vocabulary, specimen.model
    forbidden = vocabulary.forbidden_ids(model.vocab_rows)
    hold(vocabulary.mask_id in forbidden, f"the mask {vocabulary.mask_id} may be committed")
    hold({*range(vocabulary.size, model.vocab_rows)} <= {*forbidden}, "rows beyond the tokenizer may be committed")
    tempted = _tempted(specimen)
    for seed in range(NUM_CANVASES):
        canvas = _half_masked(specimen, seed)
        logits = _logits_at_masks(tempted.model, canvas)
        for suppress_end in get_args(SuppressEnd):
            (read,) = tempted.member.predict([Query(canvas, canvas.watched, suppress_end)])
            if isinstance(read, MemberError):
                raise AssertionError(f"a forward failed: {read}")
            never = {*forbidden, *([vocabulary.eos_id] if suppress_end == "prediction" else [])}
            proposed = sorted({*read.proposals} & never)
            hold(not proposed, f"suppress_end {suppress_end}: {proposed[:5]} are proposed, which no step may commit")
            allowed = logits.index_fill(-1, torch.tensor(sorted(never)), float("-inf"))
            _hold_surest(tempted, read.tokens, logits, "the argmax that scores read")
            _hold_surest(tempted, read.proposals, allowed, f"suppress_end {suppress_end}: what is proposed")


def _tempted(specimen: Specimen) -> Specimen:
    """The same member, but where it would say its favourite token it says the mask."""
    model, mask_id = copy(specimen.model), specimen.member.vocabulary.mask_id
    surest = torch.cat(
        [_logits_at_masks(model, _half_masked(specimen, seed)).argmax(-1) for seed in range(NUM_CANVASES)]
    )
    favourite = int(surest.mode().values)
    order = torch.arange(model.vocab_rows)
    order[mask_id], order[favourite] = favourite, mask_id
    num_rows, width = model.head_weight.shape
    head = torch.nn.Linear(width, num_rows, bias=False, device="meta")
    head.weight = torch.nn.Parameter(model.head_weight[order.to(model.device)], requires_grad=False)
    model._head = head
    return replace(specimen, member=replace(specimen.member, model=model))


def _logits_at_masks(model: MaskPredictor, canvas: Canvas) -> Tensor:
    """`[K, V]` in float32, on the host."""
    rows = read_plainly(model, torch.tensor(canvas.ids), model.logits_are_shifted)
    return rows[[*canvas.watched]].float().cpu()


def _half_masked(specimen: Specimen, seed: int) -> Canvas:
    """Without a prompt; every second position a random token."""
    vocabulary = specimen.member.vocabulary
    layout = Layout(LENGTH, 0, 0, LENGTH, vocabulary.mask_id, vocabulary.eos_id)
    blank = blank_canvas((), (), layout)
    tokens = specimen.random_canvas(LENGTH, seed).tolist()
    return blank.commit(
        Commit(position, tokens[position], 0.5)
        for position in range(0, LENGTH, 2)
        if tokens[position] != vocabulary.mask_id
    )


def _hold_surest(specimen: Specimen, tokens: tuple[int, ...], logits: Tensor, what: str) -> None:
    """`logits [K, V]`: each token's is the largest, or as near to it as noise may bring another."""
    chosen = logits.gather(-1, torch.tensor(tokens)[:, None])[:, 0]
    best = logits.amax(dim=-1)
    hold(specimen.are_near(chosen, best), f"{what} is not the token of the largest logit")


def check_vocabulary(specimen: Specimen) -> None:
    """Text comes back from its tokens, byte by byte, and text never becomes a special token.

    Relays turn committed tokens into bytes and those into another member's tokens, so every byte needs a token, end
    tokens carry none, and copying to the same vocabulary changes nothing. A tokenizer may compose characters (NFC).
    Source: section 4.3; ours: `docs/paper-map.md`.
    """
    vocabulary = specimen.member.vocabulary
    added = added_tokens(specimen.folder)
    for text in (*TEXTS, *(f"a{spelling} {spelling}b" for spelling in added)):
        tokens = vocabulary.encode(text)
        back = vocabulary.text_bytes(tokens).decode("utf-8", "replace")
        is_back = back == text or unicodedata.normalize("NFC", text) == unicodedata.normalize("NFC", back)
        hold(is_back, f"{text!r} comes back as {back!r}")
        special = sorted({*tokens} & {*added.values(), *vocabulary.end_ids, vocabulary.mask_id})
        hold(not special, f"the text {text!r} becomes the special tokens {special}")
    missing = [byte for byte in range(256) if vocabulary.byte_token(byte) is None]
    hold(not missing, f"no token for the bytes {missing[:8]}: text with them cannot be relayed to this member")
    worded = sorted(token for token in vocabulary.end_ids if vocabulary.token_bytes(token))
    hold(not worded, f"the end tokens {worded} have text")
    _check_copy(specimen)


def _check_copy(specimen: Specimen) -> None:
    vocabulary, model = specimen.member.vocabulary, specimen.model
    again = load_vocabulary(
        specimen.folder,
        mask_id=model.mask_id,
        eos_id=model.eos_id,
        pad_id=model.pad_id,
        vocab_rows=model.vocab_rows,
    )
    hold(
        again.fingerprint == vocabulary.fingerprint, "the same files give another fingerprint: no relay would copy ids"
    )
    tokens = vocabulary.encode(TEXTS[1])
    layout = Layout(len(tokens) + 4, 0, 0, 16, vocabulary.mask_id, vocabulary.eos_id)
    blank = blank_canvas((), (), layout)
    written = blank.with_generated(tokens + blank.generated[len(tokens) :], 0)
    relayed = transcode(written, vocabulary, blank, again)
    hold(relayed.canvas == written, f"a canvas relayed to the same vocabulary is another one ({relayed.result})")


def check_chat(specimen: Specimen) -> None:
    """The chat template writes special tokens, keeps messages as text, and ends where the reply begins.

    A special token that is spelled in a message must not become one. Source: the published checkpoints' templates.
    """
    vocabulary, added = specimen.member.vocabulary, added_tokens(specimen.folder)
    try:
        plain, other = (vocabulary.render_chat([{"role": "user", "content": text}]) for text in ("Hello", "Bye bye"))
    except PromptError as error:
        raise NotChecked(f"no chat template: only raw prompts can be asked ({error})") from None
    special = {*added.values()}
    hold(bool(special & {*plain}), "the template writes no special token: the model cannot tell who speaks")
    hold("Hello" in vocabulary.decode(plain), "the message is not in the prompt")
    hold(plain[-1] == other[-1], "the prompt ends with the message and not with the head of the reply")
    written = sum(token in special for token in plain)
    for spelling in added:
        tokens = vocabulary.render_chat([{"role": "user", "content": f"Hello {spelling}"}])
        hold(spelling in vocabulary.decode(tokens), f"{spelling} in a message is not in the prompt as text")
        found = sum(token in special for token in tokens)
        hold(found == written, f"{spelling} in a message becomes a special token")
