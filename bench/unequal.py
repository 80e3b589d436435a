"""Measures members with a gap between them on the zoo, and writes docs/unequal-members.md: `python -m bench.unequal`.

A pair for each gap: a zoo member, and another one, a weaker copy of that, or one of itself (`bench.weaken`).
"""

import argparse
import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from bench.checkpoints import ROOT
from bench.weaken import weaken
from service.configuration import load_settings
from service.evaluation.command import side_of, told_of
from service.evaluation.preset import write_preset
from service.evaluation.progress import track
from tie_core import zoo
from tie_core.evaluation.conditions import parse_conditions
from tie_core.evaluation.evaluation import Evaluation, Wishes
from tie_core.evaluation.report import OPENING, Chapter
from tie_core.evaluation.unequal import section
from tie_core.evaluation.zoo_task import TRACING_TASK as TASK

TITLE: Final = "Unequal members"
ABOUT: Final = """\
Pairs of zoo members on the zoo's own task, with the policy `{policy}` everywhere. At gap 0 both are as shipped. Others
have a weaker copy, made to be so many points below {better} alone on validation items: of {weaker}, which still knows
what {better} does not, or of {better} itself, which adds nothing that is right. A copy misreads operations for others
and applies those, so that its mistakes look as sound as what it gets right (`bench/weaken.py`).
"Chosen on validation items" is what `tie eval --calibrate` chose for a pair
([evaluation.md](evaluation.md#unequal-members)).{parallel}"""
PARALLEL: Final = """ With this policy n is {n}, but between different tokenizers a round runs on to the end of a
block: about two steps, in which members seldom change a token. So plain TIE (tcc) is mostly tied, and the top-1
probability of the answer positions decides."""


def main(words: Sequence[str] | None = None) -> None:
    asked = _parser().parse_args(words)
    asked.out.mkdir(parents=True, exist_ok=True)
    pairs = [(asked.weaker, points) for points in asked.points] + [(asked.better, points) for points in asked.own]
    chapters = [_measured(asked, source, points) for source, points in pairs]
    title = section([chapter.experiment.results(chapter.sizes["unequal"]) for chapter in chapters])
    command = shlex.join(["python", "-m", "bench.unequal", *_said(asked)])
    parts = [OPENING.format(title=TITLE, **{**told_of([]), "command": command})]
    parts.append(_about(asked) + "\n")
    parts.append(title.markdown(asked.items))
    parts += [part for chapter, pair in zip(chapters, pairs, strict=True) for part in _pair(chapter, *pair)]
    asked.page.write_text("\n".join(parts), encoding="utf-8")


def _about(asked: argparse.Namespace) -> str:
    is_parallel = asked.policy in zoo.POLICY_DEFAULTS
    parallel = PARALLEL.format(n=zoo.POLICY_DEFAULTS[asked.policy]["interval"]) if is_parallel else ""
    return ABOUT.format(policy=asked.policy, weaker=asked.weaker, better=asked.better, parallel=parallel)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.unequal", description=__doc__)
    parser.add_argument("--points", type=int, nargs="+", default=[0, 15, 30], help="gaps of --weaker; 0: as shipped")
    parser.add_argument("--own", type=int, nargs="*", default=[30], help="gaps of copies of --better itself, above 0")
    parser.add_argument("--better", choices=zoo.MEMBERS, default=zoo.MEMBERS[0])
    parser.add_argument("--weaker", choices=zoo.MEMBERS, default=zoo.MEMBERS[1])
    parser.add_argument("--items", type=int, default=200, help="test items")
    parser.add_argument("--calibrate", type=int, default=100, help="validation items")
    parser.add_argument("--scores", default="tcc,commit")
    parser.add_argument("--policy", default="threshold")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "unequal")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "unequal-members.md")
    return parser


def _said(asked: argparse.Namespace) -> list[str]:
    """What was measured, spelled out; without paths."""
    told: list[str] = []
    for name, value in vars(asked).items():
        if not isinstance(value, Path):
            told += [f"--{name}", *map(str, value if isinstance(value, list) else [value])]
    return told


def _measured(asked: argparse.Namespace, source: str, points: int) -> Chapter:
    folder = asked.out / f"{source}-{points}"
    config = _configuration(asked, source, points, folder)
    wishes = Wishes(
        tasks=(TASK,),
        tables={"unequal": asked.items},
        conditions=parse_conditions(asked.scores),
        options={"policy": asked.policy},
        num_to_calibrate=asked.calibrate,
    )
    wishes.check()
    told = told_of(["zoo", "--calibrate", str(asked.calibrate), "--option", f"policy={asked.policy}"])
    with side_of(config, None, None, None, 1) as side:
        report = Evaluation(side, wishes, Path(), folder, told, track).run()
        (chapter,) = report.chapters
        write_preset(folder / "preset.toml", chapter, side, load_settings(config), None, told)
    return chapter


def _pair(chapter: Chapter, source: str, points: int) -> list[str]:
    facts = "".join(f"- {line}\n" for line in chapter.facts())
    assert chapter.learned is not None
    return [
        f"## {source}, asked for a gap of {points} points\n",
        facts,
        chapter.learned.section().markdown(chapter.learned.num_items),
    ]


def _configuration(asked: argparse.Namespace, source: str, points: int, folder: Path) -> Path:
    weaker = zoo.member_path(source)
    if points:
        weaker = folder / "weaker"
        if not (weaker / "config.json").exists():
            weaken(source, asked.better, points, weaker)
    members = {
        asked.better: zoo.member_path(asked.better),
        f"{source}-{points}" if points else source: weaker,
    }
    lines = [line for name, path in members.items() for line in _table("[[models]]", {"name": name, "path": str(path)})]
    lines += _table("[[ensembles]]", {"name": "pair", "models": list(members)})
    lines += _table("[ensembles.defaults]", zoo.DEFAULTS)
    for policy, options in zoo.POLICY_DEFAULTS.items():
        lines += _table(f"[ensembles.policy_defaults.{policy}]", options)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "pair.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _table(header: str, values: Mapping[str, Any]) -> list[str]:
    return [header, *(f"{name} = {json.dumps(value)}" for name, value in values.items())]


if __name__ == "__main__":
    main()
