"""Trains the zoo from nothing: `python -m tie_core.zoo.train [--member NAME] [--out DIR] [--seed N]`.

Muon on the matrices of the blocks, AdamW on the rest, products in bf16 where torch reports AVX-512, a moving average of
the weights; one process with one thread per member. A course of plain sheets comes first, then every kind. The
checkpoint is the average that the probe finds nearest to the aim, late in the run, and what it knows of foreign
operations is corrected.
"""

import argparse
import copy
import multiprocessing
import random
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
from tie_core.zoo.encoding import Encoding, chat_format, raw_format
from tie_core.zoo.members import RECIPES, Member
from tie_core.zoo.muon import Muon
from tie_core.zoo.network import Network
from tie_core.zoo.practice import EVERYTHING, PLAIN, Course, Shares, probed_sheets
from tie_core.zoo.probe import Probe, make_probe, predict
from tie_core.zoo.states import Batch, Floats, States
from tie_core.zoo.task import TRAIN_SEED

BATCH_SIZE: Final = 64
NUM_STEPS: Final = 3000
NUM_PLAIN_STEPS: Final = 480
WARMUP_STEPS: Final = 40
MUON_RATE: Final = 0.015
"""0.02 forgets and relearns."""
ADAM_RATE: Final = 3e-3
AVERAGE_DECAY: Final = 0.98
"""0.998 lags a short run."""
CHAT_RATE: Final = 0.75
"""The other batches have raw prompts: the bare text, with nothing between it and the reasoning."""
STEPS_PER_PROBE: Final = 60
WORDS_PER_PROBE: Final = 12
CANDIDATE_SHARE: Final = 0.2
"""The last part of the run, from which the checkpoint is chosen."""
BFLOAT16_CAPABILITY: Final = "AVX512"
"""What torch reports where products are in bfloat16. Other CPUs may emulate them and take 10 to 60 times as long as in
float32."""
FINISHING_RATE: Final = 0.4
NUM_FINISHING_STEPS: Final = 250
STEPS_PER_FINISHING_PROBE: Final = 50
WORDS_PER_FINISHING_PROBE: Final = 32

Predictor = Callable[[Tensor, int], Tensor]


@dataclass(frozen=True, slots=True)
class Settings:
    member: MemberName
    folder: Path
    seed: int
    num_steps: int


class Training:
    """A network, its average, and what each step needs."""

    def __init__(self, settings: Settings) -> None:
        torch.manual_seed(settings.seed)
        self.member = RECIPES[settings.member]
        self.folder = settings.folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.member.write_tokenizer(self.folder)
        self.tokenizer = self.member.load_tokenizer(self.folder)
        self.encoding = Encoding(
            self.tokenizer, digits_per_token=self.member.digits_per_token, mask_token=self.member.mask_token
        )
        self.chat = chat_format(self.tokenizer)
        self.raw = raw_format()
        self.chance = random.Random(f"{settings.seed} {self.member.name}")
        longest = max(len(self.encoding.prompt_ids(sheet, self.chat)) for sheet, _ in probed_sheets(self.chance, 12))
        self.states = States(self.encoding, (settings.seed, MEMBERS.index(self.member.name)), longest)
        self.network = Network(self.member.shape, is_scaffolded=not self.member.shape.has_qk_norm)
        self.average = copy.deepcopy(self.network)
        self.compiled: Predictor = torch.compile(self.network)
        self.optimizer = Optimizer(self.network)
        self.is_mixed = torch.backends.cpu.get_cpu_capability() == BFLOAT16_CAPABILITY
        self.dosage = Dosage(self.member)
        self.losses: list[float] = []
        self.start = time.monotonic()

    def step(self, rate: float, course: Course, shares: Shares, num_averaged: int) -> None:
        sheets = course.draw(self.chance, shares, BATCH_SIZE)
        batch = self.states.draw(sheets, self.chat if self.chance.random() < CHAT_RATE else self.raw)
        loss = batch_loss(self.member, self.compiled, batch, is_mixed=self.is_mixed)
        torch.autograd.backward(loss)
        self.optimizer.step(rate)
        move_average(self.average, self.network, num_averaged)
        self.losses.append(loss.item())

    def set_strength(self, strength: float) -> None:
        """Of the scaffolds. Their sizes are measured once, when they begin to go."""
        scaffolds = [scaffold for scaffold, _ in self.network.scaffolds]
        if scaffolds and strength < 1 == scaffolds[0].strength:
            sheets = EVERYTHING.draw(self.chance, self.dosage.shares(), BATCH_SIZE)
            self.network.measure(self.states.draw(sheets, self.chat).ids)
        for network in (self.network, self.average):
            for scaffold, _ in network.scaffolds:
                scaffold.strength.fill_(strength)
        for (mean, _), (scaffold, _) in zip(self.average.scaffolds, self.network.scaffolds, strict=True):
            mean.size.copy_(scaffold.size)

    def restart(self, network: Network) -> None:
        """Go on from `network`, with an average and an optimizer that know nothing else."""
        self.network.load_state_dict(network.state_dict())
        self.average.load_state_dict(network.state_dict())
        self.optimizer = Optimizer(self.network)

    def report(self, when: str, accuracies: Floats) -> None:
        seconds = time.monotonic() - self.start
        loss, self.losses = np.mean(self.losses or [np.nan]), []
        shown = self.dosage.report(accuracies)
        print(f"{self.member.name} {when} {seconds:.0f} s loss {loss:.3f} {shown}", flush=True)

    def accuracies(self, probe: Probe) -> Floats:
        return probe.accuracies(self.member, self.average, is_mixed=self.is_mixed)

    def write(self, network: Network) -> None:
        write_checkpoint(self.member, network.plain(), self.tokenizer, self.folder)


def train(settings: Settings) -> None:
    """One member, from random weights to a checkpoint folder."""
    torch.set_num_threads(1)
    training = Training(settings)
    print(f"{settings.member} products in {'bfloat16' if training.is_mixed else 'float32'}", flush=True)
    candidate = learn(training, settings.num_steps)
    training.write(candidate)
    training.restart(candidate)
    training.write(finish(training))


def learn(training: Training, num_steps: int) -> Network:
    """The whole schedule; returns the average nearest to the aim among those late in the run."""
    best, candidate = float("inf"), training.average
    probe = make_probe(training.encoding, training.chat, WORDS_PER_PROBE)
    for step in range(1, num_steps + 1):
        course = PLAIN if step <= NUM_PLAIN_STEPS else EVERYTHING
        training.set_strength(strength_at(step, num_steps))
        training.step(rate_at(step, num_steps), course, training.dosage.shares(), step)
        if step % STEPS_PER_PROBE == 0:
            accuracies = training.accuracies(probe)
            training.dosage.observe(accuracies)
            training.report(f"{step}/{num_steps}", accuracies)
            distance = training.dosage.distance(accuracies)
            if step > (1 - CANDIDATE_SHARE) * num_steps and distance <= best:
                best, candidate = distance, copy.deepcopy(training.average)
    return candidate


def finish(training: Training) -> Network:
    """Learn or forget foreign operations, family by family, while the rate falls to zero once more.

    What the probe sees decides again and again what is drawn.
    """
    probe = make_probe(training.encoding, training.chat, WORDS_PER_FINISHING_PROBE)
    for begun in range(0, NUM_FINISHING_STEPS, STEPS_PER_FINISHING_PROBE):
        accuracies = training.accuracies(probe)
        training.report(f"finishing {begun}", accuracies)
        shares = training.dosage.corrective_shares(accuracies)
        for step in range(begun, begun + STEPS_PER_FINISHING_PROBE):
            training.step(FINISHING_RATE * (1 - step / NUM_FINISHING_STEPS), EVERYTHING, shares, step + 1)
    training.report("finished", training.accuracies(probe))
    return training.average


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


def strength_at(step: int, num_steps: int) -> float:
    """Of scaffolds: whole for half of the run, gone after three quarters."""
    return min(max(3 - 4 * step / num_steps, 0.0), 1.0)


def batch_loss(member: Member, network: Predictor, batch: Batch, *, is_mixed: bool) -> Tensor:
    logits = predict(member, network, batch.ids, batch.targets.shape[1], is_mixed=is_mixed)
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
