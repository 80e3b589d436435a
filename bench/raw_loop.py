"""The raw loop: a plain decoder of masked diffusion models to hold the server against.

transformers' own class with its own attention and activations, and none of the engine's code in the decoding: greedy,
low-confidence remasking, block by block, one token a step. Requests are decoded one by one, or as a batch padded on the
left to its longest prompt. The head reads the whole canvas, as published loops do, or the active block alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file
from torch import Tensor

from bench.checkpoints import family_of
from tie_core.models.checkpoint import open_checkpoint
from tie_core.models.token_ids import read_token_ids
from tie_core.vocabulary import Vocabulary, load_vocabulary

Head = Literal["canvas", "block"]


@dataclass(frozen=True, slots=True)
class RawModel:
    """A stock model with what the loop needs to know of its checkpoint.

    `forbidden [F]` are the ids that may not be committed: the mask and rows without a token.
    """

    model: Any
    vocabulary: Vocabulary
    logits_are_shifted: bool
    forbidden: Tensor

    def prompt_ids(self, prompt: str) -> list[int]:
        """A user's message in the checkpoint's chat template, as the server reads it."""
        return list(self.vocabulary.render_chat([{"role": "user", "content": prompt}]))


def load_raw_model(path: Path, dtype: torch.dtype) -> RawModel:
    """transformers' class for a checkpoint, bidirectional, the weights read by transformers' names."""
    family, config = family_of(path)
    config.is_causal = False
    config._attn_implementation = "sdpa"
    model: Any = family.model_class(config)
    stored = {name: tensor for file in sorted(path.glob("*.safetensors")) for name, tensor in load_file(file).items()}
    weights = {name: stored[family.rename(name)] for name in model.state_dict() if family.rename(name) in stored}
    model.load_state_dict(weights, strict=not config.tie_word_embeddings)
    model = model.to(dtype).eval()
    for layer in model.model.layers:
        layer.self_attn.is_causal = False  # it reads its own attribute where no mask is given
    rows = int(config.vocab_size)
    ids = read_token_ids(
        open_checkpoint(path), mask_token=family.mask_token, end_of_turn=family.end_of_turn, vocab_rows=rows
    )
    assert ids.mask is not None
    vocabulary = load_vocabulary(path, mask_id=ids.mask, eos_id=ids.eos, pad_id=ids.pad, vocab_rows=rows)
    return RawModel(model, vocabulary, family.logits_are_shifted, torch.tensor(vocabulary.forbidden_ids(rows)))


@torch.inference_mode()
def decode(
    raw: RawModel, prompts: Sequence[Sequence[int]], gen_length: int, block_size: int, head: Head = "block"
) -> list[list[int]]:
    """The generated ids `[gen_length]` of each prompt, all prompts in one batch."""
    ids, is_real = _left_padded(raw, prompts, gen_length)  # [B, T] each
    position_ids = (is_real.long().cumsum(-1) - 1).clamp(min=0)
    attention_mask = None if is_real.all() else is_real
    first = ids.shape[1] - gen_length
    for start in range(first, ids.shape[1], block_size):
        block = slice(start, min(start + block_size, ids.shape[1]))
        for _ in range(block.stop - block.start):
            logits = _block_logits(raw, ids, attention_mask, position_ids, block, head)  # [B, K, V]
            _commit_surest(ids[:, block], logits, raw)
    return ids[:, first:].tolist()


def _left_padded(raw: RawModel, prompts: Sequence[Sequence[int]], gen_length: int) -> tuple[Tensor, Tensor]:
    longest = max(map(len, prompts))
    ids = torch.full((len(prompts), longest + gen_length), raw.vocabulary.mask_id)
    is_real = torch.ones_like(ids, dtype=torch.bool)
    for row, prompt in enumerate(prompts):
        padding = longest - len(prompt)
        ids[row, :padding] = raw.vocabulary.pad_id
        ids[row, padding:longest] = torch.tensor(prompt)
        is_real[row, :padding] = False
    return ids, is_real


def _block_logits(
    raw: RawModel, ids: Tensor, attention_mask: Tensor | None, position_ids: Tensor, block: slice, head: Head
) -> Tensor:
    """Float32 logits `[B, K, V]` of a block's K positions; a shifted model's lie one row to the left."""
    rows = torch.arange(block.start, block.stop) - int(raw.logits_are_shifted)
    kept = rows if head == "block" else 0  # 0 is transformers' word for all
    logits: Tensor = raw.model(
        input_ids=ids, attention_mask=attention_mask, position_ids=position_ids, use_cache=False, logits_to_keep=kept
    ).logits
    return (logits if head == "block" else logits[:, rows]).float()


def _commit_surest(block: Tensor, logits: Tensor, raw: RawModel) -> None:
    """Write the surest of the masked positions of every row of `block [B, K]`, in place."""
    log_sum = logits.logsumexp(-1)  # [B, K]
    logits.index_fill_(-1, raw.forbidden, float("-inf"))
    best, tokens = logits.max(-1)
    confidence = (best - log_sum).exp().masked_fill(block != raw.vocabulary.mask_id, -1.0)
    surest = confidence.argmax(-1, keepdim=True)  # [B, 1]
    block.scatter_(1, surest, tokens.gather(1, surest))
