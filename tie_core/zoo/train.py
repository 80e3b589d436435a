"""Trains the zoo from nothing: `python -m tie_core.zoo.train [--member NAME] [--out DIR] [--seed N]`.

Muon on the matrices of the blocks, AdamW on the rest, bf16 autocast, a moving average of the weights; one
process with one thread per member. The checkpoint is the average that the probe finds nearest to the aim,
late in the run.
"""

import argparse
import copy
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tie_core.zoo import MEMBERS, MemberName, member_path
from tie_core.zoo.checkpoint import write_checkpoint
from tie_core.zoo.dosage import Dosage
from tie_core.zoo.encoding import chat_format, raw_format, read_encoding
from tie_core.zoo.members import RECIPES, Member
from tie_core.zoo.muon import Muon
from tie_core.zoo.network import Network
from tie_core.zoo.probe import make_probe, predict
from tie_core.zoo.states import Batch, draw_batch
from tie_core.zoo.task import TRAIN_SEED

BATCH_SIZE: Final = 64
NUM_STEPS: Final = 3000
WARMUP_STEPS: Final = 40
MUON_RATE: Final = 0.015
"""0.02 forgets and relearns."""
ADAM_RATE: Final = 3e-3
AVERAGE_DECAY: Final = 0.98
"""0.998 lags a short run."""
CHAT_RATE: Final = 0.75
RAW_SEPARATORS: Final = ("", "\n")
"""What may follow the text of a raw prompt."""
STEPS_PER_PROBE: Final = 60
WORDS_PER_PROBE: Final = 16
CANDIDATE_SHARE: Final = 0.15
"""The last part of the run, from which the checkpoint is chosen."""

Predictor = Callable[[Tensor, int], Tensor]


@dataclass(frozen=True, slots=True)
class Settings:
    member: MemberName
    folder: Path
    seed: int
    num_steps: int


def train(settings: Settings) -> None:
    """One member, from random weights to a checkpoint folder."""
    torch.set_num_threads(1)
    torch.manual_seed(settings.seed)
    member = RECIPES[settings.member]
    settings.folder.mkdir(parents=True, exist_ok=True)
    member.write_tokenizer(settings.folder)
    tokenizer = member.load_tokenizer(settings.folder)
    encoding = read_encoding(
        tokenizer, digits_per_token=member.digits_per_token, mask_token=member.mask_token
    )
    chat = chat_format(tokenizer)
    raw_formats = [raw_format(tokenizer, separator) for separator in RAW_SEPARATORS]
    rng = np.random.default_rng((settings.seed, MEMBERS.index(member.name)))
    network = Network(member.shape)
    average = copy.deepcopy(network)
    # Raw prompts have other lengths: compiling for each costs more than it saves.
    compiled: Predictor = torch.compile(network)
    optimizer = Optimizer(network)
    dosage = Dosage(member)
    probe = make_probe(encoding, chat, WORDS_PER_PROBE)

    best = float("inf")
    losses: list[float] = []
    start = time.monotonic()
    for step in range(1, settings.num_steps + 1):
        is_chat = rng.random() < CHAT_RATE
        prompt_format = chat if is_chat else raw_formats[int(rng.integers(len(raw_formats)))]
        batch = draw_batch(rng, encoding, prompt_format, dosage.shares(), BATCH_SIZE)
        loss = batch_loss(member, compiled if is_chat else network, batch)
        torch.autograd.backward(loss)
        optimizer.step(rate_at(step, settings.num_steps))
        move_average(average, network, step)
        losses.append(loss.item())
        if step % STEPS_PER_PROBE == 0:
            accuracies = probe.accuracies(member, average)
            dosage.observe(accuracies)
            print(
                f"{member.name} {step}/{settings.num_steps} {time.monotonic() - start:.0f} s"
                f" loss {np.mean(losses):.3f} {dosage.report(accuracies)}",
                flush=True,
            )
            losses.clear()
            is_candidate = step > (1 - CANDIDATE_SHARE) * settings.num_steps
            if is_candidate and dosage.distance(accuracies) <= best:
                best = dosage.distance(accuracies)
                write_checkpoint(member, average, tokenizer, settings.folder)


class Optimizer:
    """Muon for the matrices of the blocks, AdamW for embeddings, head, norms and biases."""

    def __init__(self, network: Network) -> None:
        matrices = [weight for weight in network.model.layers.parameters() if weight.ndim == 2]
        identities = {id(matrix) for matrix in matrices}
        others = [weight for weight in network.parameters() if id(weight) not in identities]
        self._muon = Muon(matrices)
        self._adam = torch.optim.AdamW(others, lr=ADAM_RATE, betas=(0.9, 0.95), weight_decay=0.0, fused=True)

    def step(self, rate: float) -> None:
        """One update at `rate` times the full learning rates; gradients are used up."""
        for group in self._adam.param_groups:
            group["lr"] = ADAM_RATE * rate
        self._adam.step()
        self._adam.zero_grad()
        self._muon.step(MUON_RATE * rate)


def rate_at(step: int, num_steps: int) -> float:
    """Warm-up, flat to half, linear to zero; steps count from 1."""
    return min(step / WARMUP_STEPS, 1.0, 2 * (num_steps - step + 1) / num_steps)


def batch_loss(member: Member, network: Predictor, batch: Batch) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        logits = predict(member, network, batch.ids, batch.targets.shape[1])
    losses = functional.cross_entropy(logits.float().flatten(0, 1), batch.targets.flatten(), reduction="none")
    return (losses * batch.weights.flatten()).sum() / len(batch.ids)


@torch.no_grad()
def move_average(average: Network, network: Network, step: int) -> None:
    decay = min(AVERAGE_DECAY, step / (step + 10))
    for mean, weight in zip(average.parameters(), network.parameters(), strict=True):
        mean.lerp_(weight, 1 - decay)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--member", choices=MEMBERS, action="append", help="only this one (default: all)")
    parser.add_argument("--out", type=Path, help="write DIR/NAME, not the package's own checkpoints")
    parser.add_argument("--seed", type=int, default=TRAIN_SEED)
    parser.add_argument("--steps", type=int, default=NUM_STEPS)
    arguments = parser.parse_args()
    folders = {name: arguments.out / name if arguments.out else member_path(name) for name in MEMBERS}
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=train, args=(Settings(name, folders[name], arguments.seed, arguments.steps),))
        for name in arguments.member or MEMBERS
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise SystemExit("training failed")


if __name__ == "__main__":
    main()
