"""The cost model's part of the page: what the formulas give for published models on known devices."""

from collections.abc import Iterator
from typing import Final

from bench.cost_model import DEVICES, EFFICIENCY, PLANS, SHAPES, Device, Plan, Shape, request_seconds
from tie_core.evaluation.tables import table

NUM_MEMBERS: Final = len(SHAPES)
CROWD: Final = 64
SEEN: Final = 512  # keys that a position attends to, in the table of shapes


def computed_section() -> str:
    """The formulas' figures, said to be computed."""
    return "\n".join(("## What an 8B pair should cost: computed, not measured\n", *_parts()))


def _parts() -> Iterator[str]:
    names = " and ".join(SHAPES)
    first = next(iter(PLANS.values()))
    yield (
        f"From the shapes of {names} and the devices' data sheets, with products at {EFFICIENCY:.0%} of the peak, which"
        " is an assumption; `bench/cost_model.py` has the formulas and what they leave out.\n"
    )
    yield table(
        ("model", "weights, GB (bf16)", f"GFLOP a position (of {SEEN})", "GFLOP a row of the head"),
        [
            (name, f"{shape.weight_bytes / 1e9:.1f}", _giga(shape.position_flops(SEEN)), _giga(shape.row_flops))
            for name, shape in SHAPES.items()
        ],
    )
    yield (
        "A forward of fewer positions than these takes as long as reading the weights, so batching is free up to them; "
        "beyond, it buys nothing but fewer launches.\n"
    )
    yield table(
        ("device", *(f"{name}: positions that saturate it" for name in SHAPES)),
        [(device.name, *(str(device.saturating_positions(shape)) for shape in SHAPES.values())) for device in DEVICES],
    )
    yield (
        f"Prompt {first.prompt}, {first.generated} generated, block {first.block}, n = {first.interval}, answer"
        f" {first.answer}: forwards and positions that each member makes in a request.\n"
    )
    yield table(
        ("mode", "denoising steps", "relays", "positions", "x exact, tcc"),
        [
            (
                mode,
                str(plan.steps),
                str(plan.rounds),
                f"{plan.positions(NUM_MEMBERS):,}",
                f"{plan.positions(NUM_MEMBERS) / first.positions(NUM_MEMBERS):.2f}",
            )
            for mode, plan in PLANS.items()
        ],
    )
    yield (
        "The pair on one device takes turns, on two it takes as long as the slower member. Latency is of a request"
        f" alone; throughput is of {CROWD} at once, in generated tokens a second of the ensemble.\n"
    )
    header = ("device", "mode", "one: latency, s", "two: latency, s", "one: tokens/s", "two: tokens/s")
    yield table(header, [_row(device, mode, plan) for device in DEVICES for mode, plan in PLANS.items()])
    yield _memory()


def _row(device: Device, mode: str, plan: Plan) -> tuple[str, ...]:
    alone = [_seconds(shape, plan, device, 1) for shape in SHAPES.values()]
    crowd = [_seconds(shape, plan, device, CROWD) for shape in SHAPES.values()]
    name = device.name if _holds_both(device) else f"{device.name} (one alone cannot hold both)"
    latencies = (f"{sum(alone):.1f}", f"{max(alone):.1f}")
    rates = tuple(f"{CROWD * plan.generated / seconds:.0f}" for seconds in (sum(crowd), max(crowd)))
    return (name, mode, *latencies, *rates)


def _seconds(shape: Shape, plan: Plan, device: Device, at_once: int) -> float:
    return request_seconds(shape, plan, device, NUM_MEMBERS, at_once)


def _holds_both(device: Device) -> bool:
    return sum(shape.weight_bytes for shape in SHAPES.values()) < device.memory


def _memory() -> str:
    total = sum(shape.weight_bytes for shape in SHAPES.values()) / 1e9
    return f"Both members' weights take {total:.1f} GB in bf16.\n"


def _giga(flops: float) -> str:
    return f"{flops / 1e9:.2f}"
