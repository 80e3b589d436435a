"""How well a network in training does each operation: greedy decoding of one slot, whose lead is given."""

import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tie_core.zoo import ANSWER_LENGTH, REASONING_LENGTH
from tie_core.zoo.encoding import Encoding, PromptFormat, padded
from tie_core.zoo.members import Member
from tie_core.zoo.network import Network
from tie_core.zoo.practice import probed_sheets
from tie_core.zoo.skills import OPERATIONS
from tie_core.zoo.states import Floats
from tie_core.zoo.task import VALIDATION_SEED


def predict(
    member: Member, network: Callable[[Tensor, int], Tensor], ids: Tensor, num_generated: int, *, is_mixed: bool
) -> Tensor:
    """Logits aligned with the generated positions: [B, T] long -> [B, G, V]; `is_mixed`: products in bfloat16."""
    with torch.autocast("cpu", torch.bfloat16, enabled=is_mixed):
        if member.is_shifted:
            return network(ids, num_generated + 1)[:, :-1]
        return network(ids, num_generated)


@dataclass(frozen=True, slots=True)
class Probe:
    """The same held-out lines every time: `num_words` of every operation, at every place in turn."""

    ids: Tensor  # [N, T] long; earlier lines committed, the probed line's number and all behind it masked
    columns: Tensor  # [N, line_length] long, the probed number's positions within the generated part
    targets: Tensor  # [N, line_length] long
    num_generated: int
    mask_id: int

    @torch.no_grad()
    def accuracies(self, member: Member, network: Network, *, is_mixed: bool) -> Floats:
        """Share of right slots of every operation, in the order of OPERATIONS: [18]."""
        ids = self.ids.clone()
        columns = self.columns + ids.shape[1] - self.num_generated
        for _ in range(columns.shape[1]):
            logits = predict(member, network, ids, self.num_generated, is_mixed=is_mixed)
            chosen = logits.gather(1, self.columns[..., None].expand(-1, -1, logits.shape[-1]))
            confidence, tokens = chosen.float().softmax(-1).max(-1)  # [N, line_length]
            is_masked = ids.gather(1, columns) == self.mask_id
            best = confidence.masked_fill(~is_masked, -1.0).argmax(1, keepdim=True)
            ids.scatter_(1, columns.gather(1, best), tokens.gather(1, best))
        is_right = (ids.gather(1, columns) == self.targets).all(1)
        return is_right.view(len(OPERATIONS), -1).double().mean(1).numpy()


def make_probe(encoding: Encoding, prompt_format: PromptFormat, num_words: int) -> Probe:
    probed = probed_sheets(random.Random(VALIDATION_SEED), num_words)
    prompts = [encoding.prompt_ids(sheet, prompt_format) for sheet, _ in probed]
    results = [sheet.results() for sheet, _ in probed]
    generated = np.array(
        [encoding.generated_ids(sheet, each, each) for (sheet, _), each in zip(probed, results, strict=True)]
    )
    starts = np.array([encoding.number_start(place) for _, place in probed])[:, None]
    columns = starts + np.arange(encoding.line_length)[None]
    positions = np.arange(encoding.num_generated)[None]
    is_suffix = (positions >= REASONING_LENGTH) & (positions < encoding.num_generated - ANSWER_LENGTH)
    masked = np.where((positions >= starts) & ~is_suffix, encoding.mask_id, generated)
    before = padded(prompts, max(map(len, prompts)))
    return Probe(
        ids=torch.from_numpy(np.concatenate((before, masked), axis=1)),
        columns=torch.from_numpy(columns),
        targets=torch.from_numpy(np.take_along_axis(generated, columns, axis=1)),
        num_generated=encoding.num_generated,
        mask_id=encoding.mask_id,
    )
