"""Measures members with a gap between them on the zoo, and writes docs/unequal-members.md: `python -m bench.unequal`.

A pair for each gap: a zoo member, and another one or a weaker copy of it (`bench.weaken`).
"""

import argparse
import json
import shlex
import sys
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
from tie_core.evaluation.zoo_task import TASK

TITLE: Final = "Unequal members"
ABOUT: Final = """\
Pairs of zoo members on the zoo's own task, with the policy `{policy}` everywhere. At gap 0 both are as shipped; the
others have a weaker copy of {weaker}, made to be so many points below {better} alone on validation items. It misreads
operations for others and applies those, so that its mistakes look as sound as what it gets right (`bench/weaken.py`).
"Learned" is what `tie eval --calibrate` made of a pair ([evaluation.md](evaluation.md#unequal-members))."""


def main(words: Sequence[str] | None = None) -> None:
    asked = _parser().parse_args(words)
    asked.out.mkdir(parents=True, exist_ok=True)
    chapters = [_measured(asked, points) for points in asked.points]
    title = section([chapter.experiment.results(chapter.sizes["unequal"]) for chapter in chapters])
    command = shlex.join(["python", "-m", "bench.unequal", *(sys.argv[1:] if words is None else words)])
    parts = [OPENING.format(title=TITLE, **{**told_of([]), "command": command})]
    parts.append(ABOUT.format(policy=asked.policy, weaker=asked.weaker, better=asked.better) + "\n")
    parts.append(title.markdown(asked.items))
    parts += [part for chapter, points in zip(chapters, asked.points, strict=True) for part in _pair(chapter, points)]
    asked.page.write_text("\n".join(parts), encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.unequal", description=__doc__)
    parser.add_argument("--points", type=int, nargs="+", default=[0, 15, 30], help="gaps; 0: as shipped")
    parser.add_argument("--better", choices=zoo.MEMBERS, default=zoo.MEMBERS[0])
    parser.add_argument("--weaker", choices=zoo.MEMBERS, default=zoo.MEMBERS[1])
    parser.add_argument("--items", type=int, default=400, help="test items")
    parser.add_argument("--calibrate", type=int, default=200, help="validation items")
    parser.add_argument("--scores", default="tcc,commit,top1")
    parser.add_argument("--policy", default="threshold")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "unequal")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "unequal-members.md")
    return parser


def _measured(asked: argparse.Namespace, points: int) -> Chapter:
    folder = asked.out / str(points)
    config = _configuration(asked, points, folder)
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


def _pair(chapter: Chapter, points: int) -> list[str]:
    facts = "".join(f"- {line}\n" for line in chapter.facts())
    assert chapter.learned is not None
    return [
        f"## Asked for a gap of {points} points\n",
        facts,
        chapter.learned.section().markdown(chapter.learned.num_items),
    ]


def _configuration(asked: argparse.Namespace, points: int, folder: Path) -> Path:
    weaker = zoo.member_path(asked.weaker)
    if points:
        weaker = folder / "weaker"
        if not (weaker / "config.json").exists():
            weaken(asked.weaker, asked.better, points, weaker)
    members = {
        asked.better: zoo.member_path(asked.better),
        f"{asked.weaker}-{points}" if points else asked.weaker: weaker,
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
