"""An ensemble: members under one name with their defaults; makes requests, and answers them without an engine.

`generate` is the plain driver: one canvas, one forward, one step at a time. It is what every faster path must equal.
"""

import uuid
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from math import ceil
from typing import Any

import torch

from tie_core.calibration import CalibrationTable
from tie_core.canvas import Canvas, Layout, blank_canvas
from tie_core.denoising import Denoising, Job, make_job
from tie_core.ending import make_ending
from tie_core.errors import (
    ContextLengthError,
    LossReason,
    MemberError,
    OptionsError,
    OutOfMemoryError,
    PromptError,
    UnknownModelError,
)
from tie_core.events import Completed, Event
from tie_core.lost import Lost
from tie_core.member import Member, Query
from tie_core.narrator import Narrator
from tie_core.options import MAX_GENERATED, Detail, TieOptions, resolve_options
from tie_core.prediction import Prediction
from tie_core.prompting import Message, prompt_ids
from tie_core.request import Request
from tie_core.tie import Decode, Probe, Round


class Ensemble:
    """Members that answer as one.

    `defaults` are options that lie over the task presets and under a request's own; `policy_defaults` lie over them
    where a request decodes with that unmasking policy.
    """

    def __init__(
        self,
        name: str,
        members: Sequence[Member],
        defaults: Mapping[str, Any] | None = None,
        policy_defaults: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        assert members, "an ensemble has at least one member"
        self.name = name
        self.members = tuple(members)
        self._defaults = dict(defaults or {})
        self._policy_defaults = dict(policy_defaults or {})

    def request(
        self,
        *,
        prompt: str | None = None,
        messages: Sequence[Message] | None = None,
        models: Sequence[str] | None = None,
        request_id: str | None = None,
        detail: Detail = "round",
        stop: str | Sequence[str] = (),
        max_tokens: int | None = None,
        tenant: str = "",
        **options: Any,
    ) -> Request:
        """Tokenise and validate: everything that can be wrong with a request is found here.

        `stop` cuts the final text; `max_tokens` makes the canvas, in whole blocks, or cuts the text where it cannot.

        Raises:
            PromptError, OptionsError, UnknownModelError: with the name of the field at fault.
        """
        members = self.choose(models)
        ending = make_ending(stop, max_tokens)
        resolved, limit = self._sized(members, options, max_tokens)
        return Request(
            id=request_id or f"tie-{uuid.uuid4().hex}",
            ensemble=self.name,
            members=members,
            indices=tuple(map(self.members.index, members)),
            canvases=_blank_canvases(members, resolved, prompt, messages),
            options=resolved,
            detail=detail,
            ending=replace(ending, max_tokens=limit),
            tenant=tenant,
        )

    def generate(
        self, asked: str | Sequence[Message] | None = None, **request: Any
    ) -> Generator[Event, None, Completed]:
        """Answer a prompt (a string) or messages, event by event; the last event, also returned, is `Completed`.

        Options and everything else are as `request(...)` takes them.

        Raises:
            RequestError: what was asked is not valid.
            MemberError: a member failed.
        """
        if asked is not None:
            name = "prompt" if isinstance(asked, str) else "messages"
            if request.keys() & {"prompt", "messages"}:
                raise PromptError(name, "give exactly one of `prompt` and `messages`")
            request[name] = asked
        return run_plainly(self.request(**request))

    def answer(self, asked: str | Sequence[Message] | None = None, **request: Any) -> Completed:
        """The result alone."""
        *_, completed = self.generate(asked, **request)
        assert isinstance(completed, Completed)
        return completed

    def resolve(self, members: Sequence[Member], options: Mapping[str, Any]) -> TieOptions:
        policy = str(options.get("policy", self._defaults.get("policy", "top_k")))
        resolved = resolve_options(self._defaults, self._policy_defaults.get(policy, {}), options)
        if options.get("min_models") is not None and resolved.min_models > len(members):
            raise OptionsError(
                "min_models", f"min_models is at most the number of models that are asked: {len(members)}"
            )
        is_asked = resolved.selection == "best_model" or options.get("best_model") is not None
        if is_asked and resolved.best_model not in [member.name for member in members]:
            raise OptionsError("best_model", f"best_model is one of {_names(members)}")
        _check_members(resolved.calibration, members, self.members)
        return resolved

    def _sized(
        self, members: Sequence[Member], options: Mapping[str, Any], max_tokens: int | None
    ) -> tuple[TieOptions, int | None]:
        """Options whose canvas has `max_tokens` positions, rounded up to a block; or the limit that cuts the text.

        It is cut where the canvas is not to be changed: its regions are fixed by defaults or by the request itself, or
        so few positions hold no suffix and answer.
        """
        resolved = self.resolve(members, options)
        if max_tokens is None:
            return resolved, None
        num_suffix = max(len(member.vocabulary.encode(resolved.suffix)) for member in members)
        if resolved.gen_length is not None and not {"gen_length", "reasoning"} & options.keys():
            gen_length = min(MAX_GENERATED, ceil(max_tokens / resolved.block_size) * resolved.block_size)
            with suppress(OptionsError):
                sized = self.resolve(members, {**options, "gen_length": gen_length})
                sized.region_lengths(num_suffix)
                return sized, None
        length = num_suffix + sum(resolved.region_lengths(num_suffix))
        return resolved, max_tokens if max_tokens < length else None

    def choose(self, models: Sequence[str] | None) -> tuple[Member, ...]:
        """The members of these names, in their order; None: all.

        Raises:
            UnknownModelError, OptionsError: an unknown name, or one that is there twice.
        """
        if models is None:
            return self.members
        by_name = {member.name: member for member in self.members}
        if not models or not all(str(name) in by_name for name in models):
            raise UnknownModelError("models", f"models are one or more of {_names(self.members)}, each once")
        if len(models) > len(set(models)):
            raise OptionsError("models", "models names a member twice: name each once")
        return tuple(by_name[name] for name in models)


Losses = Callable[[int, int], LossReason | None]
"""Round and member -> why the member is lost to it."""


def run_plainly(request: Request, losses: Losses = lambda number, member: None) -> Generator[Event, None, Completed]:
    """Drive one request on this thread, a forward at a time, and tell every step of it.

    `losses` are members that are lost besides: it shows what a request comes to with the members left.
    """
    narrator, program = Narrator(request), request.program()
    yield narrator.created(queue_position=0)
    yield narrator.started()
    reply: tuple[Any, ...] | None = None
    number = 1
    while True:
        try:
            work = program.send(reply)
        except StopIteration as end:
            narrator.stopwatch.lap("relay")
            *answers, completed = narrator.completed(end.value)
            yield from answers
            assert isinstance(completed, Completed)
            yield completed
            return completed
        narrator.stopwatch.lap("relay")
        if isinstance(work, Round):
            yield from narrator.round(work)
            number, reply = work.number + 1, None
            continue
        asked: Sequence[Decode | Probe] = work
        results: dict[int, Any] = {
            index: Lost(reason)
            for index, item in enumerate(asked)
            if (reason := losses(number, item.member)) is not None
        }
        jobs = {index: make_job(item, request.options) for index, item in enumerate(asked) if index not in results}
        yield from _run_in_turn(request, jobs, results, narrator)
        narrator.stopwatch.lap("decode" if isinstance(work[0], Decode) else "score")
        reply = tuple(results[index] for index in range(len(work)))


def _run_in_turn(
    request: Request, jobs: Mapping[int, Job], results: dict[int, Any], narrator: Narrator
) -> Iterator[Event]:
    """One step of each unfinished job after the other, until all are finished or lost."""
    for job in jobs.values():
        step = job.begin()
        if step is not None and isinstance(job, Denoising) and request.wants_steps:
            yield narrator.step(job.work.member, step)
    while unfinished := [index for index, job in jobs.items() if index not in results and not job.is_finished]:
        for index in unfinished:
            job = jobs[index]
            try:
                step = job.accept(_read(request.members[job.work.member], job.query))
            except MemberError as error:
                results[index] = Lost.of(error)
                continue
            if step is not None and isinstance(job, Denoising) and request.wants_steps:
                yield narrator.step(job.work.member, step)
    results |= {index: job.result for index, job in jobs.items() if index not in results}


def _read(member: Member, query: Query) -> Prediction:
    with suppress(torch.OutOfMemoryError):
        (prediction,) = member.predict([query])
        if isinstance(prediction, MemberError):
            raise prediction
        return prediction
    raise OutOfMemoryError.of_canvas(member.name, member.model.device, len(query.canvas.ids))


def _blank_canvases(
    members: Sequence[Member], options: TieOptions, prompt: str | None, messages: Sequence[Message] | None
) -> tuple[Canvas, ...]:
    suffixes = [member.vocabulary.encode(options.suffix) for member in members]
    reasoning, answer = options.region_lengths(max(map(len, suffixes)))
    canvases = []
    for member, suffix in zip(members, suffixes, strict=True):
        ids = prompt_ids(member.vocabulary, prompt, messages)
        mask_id, eos_id = member.vocabulary.mask_id, member.vocabulary.eos_id
        layout = Layout(reasoning, len(suffix), answer, options.block_size, mask_id, eos_id)
        _check_length(member, "messages" if prompt is None else "prompt", len(ids), layout)
        canvases.append(blank_canvas(ids, suffix, layout))
    return tuple(canvases)


def _check_length(member: Member, param: str, num_prompt: int, layout: Layout) -> None:
    spare = member.model.max_positions - num_prompt - layout.length
    if spare < 0:
        raise ContextLengthError(
            param,
            f"prompt {num_prompt:,} + gen_length {layout.length:,} exceeds {member.name}'s"
            f" {member.model.max_positions:,} positions: shorten by {-spare:,} tokens",
        )


def _check_members(calibration: CalibrationTable | None, asked: Sequence[Member], known: Sequence[Member]) -> None:
    """Raises:
    OptionsError: it lacks a member that is asked, or has a stranger.
    """
    if calibration is None:
        return
    if not {member.name for member in asked} <= calibration.keys() <= {member.name for member in known}:
        raise OptionsError("calibration", f"calibration is of each member that is asked: {_names(asked)}")


def _names(members: Sequence[Member]) -> str:
    return ", ".join(member.name for member in members)
