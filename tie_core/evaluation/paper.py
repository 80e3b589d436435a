"""The paper's own figures, to stand beside ours: Yun et al., arXiv 2606.16281v1, LLaDA-1.5 and Dream-7B-Instruct.

Nothing here is measured by this project, and what the paper does not say is missing.
"""

from collections.abc import Mapping
from typing import Final

LLADA, DREAM, POST = "LLaDA-1.5", "Dream-7B-Instruct", "post-generation ensemble"
OTHERS: Final = (LLADA, DREAM, POST)
Figures = Mapping[str, float]
"""Percent right by who answers: `OTHERS`, or TIE by the name of its score."""
TASKS: Final = ("mmlu", "arc_challenge", "winogrande", "gsm8k", "math500", "humaneval", "mbpp_sanitized", "countdown")
_ACCURACIES: Final[Mapping[str, tuple[float, ...]]] = {
    LLADA: (61.23, 85.15, 71.59, 78.77, 37.4, 45.73, 53.16, 13.4),
    DREAM: (67.46, 86.69, 72.22, 78.39, 48.0, 61.59, 63.23, 16.4),
    POST: (67.26, 88.57, 73.72, 80.29, 43.0, 55.49, 62.53, 19.2),
    "tcc": (67.55, 89.16, 72.85, 83.47, 48.6, 54.27, 64.17, 18.8),
    "top1": (67.25, 88.82, 73.95, 82.71, 47.0, 57.32, 62.06, 18.8),
    "entropy": (67.53, 88.57, 71.90, 83.62, 45.2, 57.93, 62.76, 19.4),
    "margin": (67.34, 88.74, 73.88, 82.56, 48.4, 57.32, 62.06, 18.6),
}
ACCURACY: Final[Mapping[str, Figures]] = {
    task: {who: figures[place] for who, figures in _ACCURACIES.items()} for place, task in enumerate(TASKS)
}
"""Percent right, by task and by who answers. The paper's MMLU* is left out: its list of subjects is not published."""

GSM8K: Final = ACCURACY["gsm8k"]
INTERVAL: Final = {8: 82.34, 16: 83.47, 32: 82.49}
"""Table 6: tcc on GSM8K, by n."""
THRESHOLD: Final = {LLADA: 80.44, DREAM: 78.39, "tcc": 82.26, "top1": 83.24}
"""Table 7: threshold 0.9 on GSM8K."""
TOP_2: Final = {LLADA: 78.92, DREAM: 73.77, "tcc": 80.14, "top1": 81.58}
"""Table 7: two tokens a step on GSM8K."""
NOT_NORMALISED: Final = 82.64
"""Table 8: tcc on GSM8K without the division by |A|."""
NOT_CROSS_MODEL: Final = 81.35
"""Table 9: top1 on GSM8K by the source's own reading."""
SELECTION: Final = {"lowest_tcc": 83.47, "best_model": 81.65, "most_selected": 83.17}
"""Table 10: tcc on GSM8K, by the final rule."""
CHANGE_RATE: Final = {"mmlu": 12.3, "gsm8k": 23.7, "countdown": 32.0}
"""Table 5: percent, tcc."""
TCC_RIGHT, TCC_WRONG = 1.81, 4.27
"""Table 1: whole-run token change counts of LLaDA on MMLU."""


def better_member(figures: Figures) -> float:
    return max(figures[LLADA], figures[DREAM])


def gain(task: str, who: str, over: str) -> float | None:
    """Points that one gains over another on a task (`over` "": the better member); None without a figure of it."""
    figures = ACCURACY.get(task, {})
    if who not in figures:
        return None
    return figures[who] - (figures[over] if over else better_member(figures))
