"""Counts of verdicts against the truth, pooled, with intervals."""
from __future__ import annotations

import collections
import dataclasses
import random

from evaluation.judges import Verdicts
from evaluation.sets import LabelledSet

TRUTHS = ("genuine", "spoofed")
ANSWERS = ("genuine", "spoofed", "undetermined")
RESAMPLES = 400


def regions_class(count: int) -> str:
    return str(count) if count < 3 else "3-4" if count < 5 else "5-8" if count < 9 else "9+"


@dataclasses.dataclass
class Table:
    """Counts [genuine, spoofed, undetermined] by truth, by kind, by regions, and by who acted."""
    total: dict = dataclasses.field(default_factory=lambda: collections.defaultdict(lambda: [0, 0, 0]))
    kinds: dict = dataclasses.field(default_factory=lambda: collections.defaultdict(lambda: [0, 0, 0]))
    regions: dict = dataclasses.field(default_factory=lambda: collections.defaultdict(lambda: [0, 0, 0]))
    actors: dict = dataclasses.field(default_factory=lambda: collections.defaultdict(lambda: [0, 0, 0]))

    def add(self, labelled: LabelledSet, verdicts: Verdicts) -> None:
        for source in labelled.sources:
            answer = verdicts.get((source.address, source.day), "undetermined")
            which = ANSWERS.index("spoofed" if answer == "mixed" else answer)
            regions = regions_class(labelled.regions_seen[source.address])
            for counts in (self.total[source.truth], self.kinds[source.truth, source.kind], self.regions[source.truth, regions],
                           self.actors[labelled.name, source.truth, source.cluster]):
                counts[which] += 1

    def figures(self) -> dict[str, float | None]:
        return figures(self.total["genuine"], self.total["spoofed"])

    def intervals(self) -> dict[str, tuple[float, float]]:
        """95 %, by resampling who acted: forgers, and networks of genuine sources. Sources of one actor share their fate."""
        r = random.Random(1)
        groups = {truth: [counts for (_, t, _), counts in sorted(self.actors.items()) if t == truth] for truth in TRUTHS}
        drawn = collections.defaultdict(list)
        for _ in range(RESAMPLES):
            sums = {truth: [sum(column) for column in zip(*r.choices(group, k=len(group)))] if group else [0, 0, 0]
                    for truth, group in groups.items()}
            for name, value in figures(sums["genuine"], sums["spoofed"]).items():
                if value is not None:
                    drawn[name].append(value)
        return {name: (sorted(values)[int(0.025 * len(values))], sorted(values)[int(0.975 * len(values))])
                for name, values in drawn.items()}


def ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def figures(genuine: list[int], spoofed: list[int]) -> dict[str, float | None]:
    """precision and recall of `spoofed` and of `genuine`, genuine called spoofed, and who got no verdict."""
    return {
        "precision": ratio(spoofed[1], spoofed[1] + genuine[1]), "recall": ratio(spoofed[1], sum(spoofed)),
        "false_alarms": ratio(genuine[1], sum(genuine)), "abstained_spoofed": ratio(spoofed[2], sum(spoofed)),
        "genuine_precision": ratio(genuine[0], genuine[0] + spoofed[0]), "genuine_recall": ratio(genuine[0], sum(genuine)),
        "abstained_genuine": ratio(genuine[2], sum(genuine)),
    }


@dataclasses.dataclass(frozen=True)
class Floor:
    """What a group must reach: precision and recall at least, false alarms at most."""
    precision: float
    recall: float
    false_alarms: float

    def missed(self, figure: dict[str, float | None]) -> list[str]:
        missed = []
        for name in ("precision", "recall", "false_alarms"):
            value, bound = figure[name], getattr(self, name)
            good = value is not None and (value <= bound if name == "false_alarms" else value >= bound)
            if not good:
                missed.append(f"{name} {percent(value)} (must be {'at most' if name == 'false_alarms' else 'at least'} {percent(bound)})")
        return missed


# The stated targets of the detector; groups are named as sets without their number.
FLOORS = {
    "additive": Floor(0.985, 0.66, 0.003),
    "routed": Floor(0.91, 0.66, 0.022),
    "small": Floor(0.96, 0.53, 0.006),
    "lowspoof": Floor(0.88, 0.58, 0.0015),
}


def percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f} %" if value < 0.05 else f"{100 * value:.1f} %"
