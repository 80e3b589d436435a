"""A report: the tables of some tasks with what they were measured on, as Markdown and as JSON; nothing is typed in."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tie_core.evaluation.calibrating import Learned
from tie_core.evaluation.choosing import Choice
from tie_core.evaluation.experiment import Experiment, Sizes
from tie_core.evaluation.plots import draw
from tie_core.evaluation.sections import Section

OPENING: Final = """\
# {title}

Made by `{command}` and not edited by hand, on {date}: {machine}.

In brackets: 95 % intervals, Wilson's for a share, normal ones for paired differences over the same items. Where few
items differ, normal ones are too narrow: what is told apart goes by p alone. A run's rounds are alike, so a share of
rounds has the interval of their effective number. p is McNemar's exact two-sided test where nothing else is said.
Differences are in points. No correction is made for the number of rows. Signs are held against those of the
[paper](https://arxiv.org/abs/2606.16281), whose members are LLaDA-1.5 and Dream-7B-Instruct.
"""
OPTIONS: Final = (
    "reasoning",
    "answer",
    "gen_length",
    "block_size",
    "interval",
    "score",
    "policy",
    "k",
    "tau",
    "selection",
)
"""Those that a reader is told."""


@dataclass(frozen=True, slots=True)
class Chapter:
    """One task: the tables that were asked for, and the number of items of each."""

    experiment: Experiment
    sizes: Sizes
    sections: Sequence[Section]
    learned: Learned | None = None
    choice: Choice | None = None

    def data(self) -> dict[str, Any]:
        study = self.experiment.study
        return {
            "task": study.task.name,
            "of": self.experiment.file.circumstances,
            "chosen": study.chosen and study.chosen.key,
            "learned": study.learned and study.learned.key,
            "choice": self.choice and self.choice.section.data(),
            "items": dict(self.sizes),
            "sections": [section.data() for section in self.sections],
        }

    def draw(self, folder: Path) -> dict[str, Path]:
        """Plots of the tables that have one."""
        drawn = {name: draw(name, self.experiment.results(num_items), folder) for name, num_items in self.sizes.items()}
        return {name: path for name, path in drawn.items() if path is not None}

    def markdown(self, plots: Mapping[str, Path]) -> str:
        """`plots`, by table, are relative to the report."""
        task = self.experiment.study.task
        parts = [f"## {task.title}\n", *([f"{task.about}\n"] if task.about else [])]
        parts.append("".join(f"- {line}\n" for line in self.facts()))
        for section in self.sections:
            parts.append(section.markdown(self.sizes[section.name], self.sizes.get("main")))
            if section.name in plots:
                parts.append(f"![{section.title}]({plots[section.name].as_posix()})\n")
        parts += [self.learned.section().markdown(self.learned.num_items)] if self.learned is not None else []
        parts += [self.choice.section.markdown(self.choice.num_items)] if self.choice is not None else []
        if task.notes:
            parts.append(f"### What these figures do not show\n\n{task.notes}\n")
        return "\n".join(parts)

    def facts(self) -> Iterator[str]:
        """What was measured, in lines."""
        of = self.experiment.file.circumstances
        drawn = of["items"]
        has_own_validation = self.experiment.study.task.load_validation is not None
        split = "test" if has_own_validation and drawn["split"] == "all" else drawn["split"]
        yield (
            f"Items: the first ones, in the order of seed {drawn['seed']}, of {drawn['of']:,} ({split}, digest"
            f" `{drawn['digest']}`)."
        )
        if drawn["split"] == "validation":
            yield "**Choices are made on validation items: these figures are for development only.**"
        yield "Members: " + ", ".join(_member(name, facts) for name, facts in of["members"].items()) + "."
        options = of["options"]
        told = ", ".join(f"{name} {options[name]}" for name in OPTIONS if options.get(name) is not None)
        yield f"Options, where a row does not say otherwise: {told}."
        yield "Versions: " + ", ".join(f"{name} {version}" for name, version in of["versions"].items()) + "."


def _member(name: str, facts: Mapping[str, Any]) -> str:
    what = [f"weights `{facts['weights']}`"] if "weights" in facts else []
    what += [str(facts[key]) for key in ("family", "dtype", "device") if key in facts]
    return f"{name} ({', '.join(what)})"


@dataclass(frozen=True, slots=True)
class Report:
    """All tasks. `told` says by what command (`command`), when (`date`) and where (`machine`) it was measured."""

    chapters: Sequence[Chapter]
    told: Mapping[str, Any]
    has_plots: bool

    @property
    def _title(self) -> str:
        """A report of one table other than the main one has its name."""
        titles = {section.title for chapter in self.chapters for section in chapter.sections if section.name != "main"}
        has_main = any("main" in chapter.sizes for chapter in self.chapters)
        return titles.pop() if len(titles) == 1 and not has_main else "Results"

    def data(self) -> dict[str, Any]:
        return {"told": dict(self.told), "tasks": [chapter.data() for chapter in self.chapters]}

    def write(self, path: Path) -> str:
        """The report as Markdown, also to a file; plots go to a folder beside it that has the file's name."""
        path.parent.mkdir(parents=True, exist_ok=True)
        parts = [OPENING.format(title=self._title, **self.told)]
        for chapter in self.chapters:
            plots = chapter.draw(path.with_suffix("")) if self.has_plots else {}
            parts.append(chapter.markdown({name: plot.relative_to(path.parent) for name, plot in plots.items()}))
        text = "\n".join(parts)
        path.write_text(text, encoding="utf-8")
        return text
