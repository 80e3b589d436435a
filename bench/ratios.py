"""Ratios of one side to another, pass by pass of the same run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.passes import Sample

Figure = Callable[[Sample], float]


@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio for each repetition; what is reported is their median."""

    each: tuple[float, ...]

    @property
    def middle(self) -> float:
        return median(self.each)

    @property
    def words(self) -> str:
        if len(self.each) == 1:
            return f"{self.middle:.2f}"
        return f"{self.middle:.2f} ({min(self.each):.2f} to {max(self.each):.2f})"


def cpu(sample: Sample) -> float:
    return sample.cpu_ms_per_token


def speed(sample: Sample) -> float:
    return sample.tokens_per_second


def positions(sample: Sample) -> float:
    return sample.positions / sample.num_tokens


def ratio(samples: Mapping[str, Sequence[Sample]], side: str, other: str, figure: Figure = cpu) -> Ratio:
    return Ratio(tuple(figure(one) / figure(two) for one, two in zip(samples[side], samples[other], strict=True)))


def middle(samples: Sequence[Sample], figure: Figure = cpu) -> float:
    return median(figure(sample) for sample in samples)


def ensemble_ratio(samples: Mapping[str, Sequence[Sample]], other: str) -> Ratio:
    """CPU time of an ensemble of `llada` and `other`, over that of as many steps of each member alone."""
    together = samples[f"{other}: tie"]
    alone = {name: samples[f"{other}: {name} alone"] for name in ("llada", other)}
    return Ratio(
        tuple(
            tie.cpu_seconds
            / sum(
                runs[repetition].cpu_seconds * tie.forwards[name]["decode"] / runs[repetition].num_forwards("decode")
                for name, runs in alone.items()
            )
            for repetition, tie in enumerate(together)
        )
    )


def forwards_per_request(sample: Sample) -> float:
    return (sample.num_forwards("decode") + sample.num_forwards("score")) / len(sample.latencies)


def scoring_ratio(samples: Mapping[str, Sequence[Sample]]) -> Ratio:
    """CPU time of top1 over tcc's, over what the count of forwards says it should be."""
    return Ratio(
        tuple(
            (top1.cpu_seconds / tcc.cpu_seconds) / (forwards_per_request(top1) / forwards_per_request(tcc))
            for top1, tcc in zip(samples["top1"], samples["tcc"], strict=True)
        )
    )
