"""The verdict on a claim of several comparisons: whether it holds, which part failed, and which is undecided."""

from dataclasses import dataclass
from typing import Literal

from ncf.stats.findings import Finding, Status


@dataclass(frozen=True)
class Part:
    """A comparison of a claim.

    Attributes:
        name: such as "focal vs bce, test/ndcg@10, 1:10".
        finding: as a single finding, after the correction for its family.
        alone: at alpha, without correction; "all parts are better" rests on it.
    """

    name: str
    finding: Finding
    alone: Finding


@dataclass(frozen=True)
class Conclusion:
    """The verdict on a claim.

    Attributes:
        status: "holds", "fails" (at least one part does), "refuted" (every part is worse or equivalent) or "undecided".
        needs: whether the claim needs all or any of its parts better.
        parts: its comparisons.
    """

    status: Status
    needs: Literal["all", "any"]
    parts: tuple[Part, ...]

    @property
    def holding(self) -> tuple[str, ...]:
        """Names of the parts that are better, each as a single finding."""
        return self._named("better")

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the parts that are worse or equivalent."""
        return self._named("worse", "equivalent")

    @property
    def undecided(self) -> tuple[str, ...]:
        """Names of the parts that are undecided or incomplete."""
        return self._named("undecided", "incomplete")

    @property
    def sentence(self) -> str:
        """Such as "fails: 1 of 4 comparisons is worse, 3 undecided"."""
        found = [part.finding for part in self.parts]
        alone = [part.alone for part in self.parts]
        total = f"{len(found)} comparisons" if len(found) > 1 else "comparison"
        every = f"all {total} are" if len(found) > 1 else f"the {total} is"
        if self.status == "holds" and self.needs == "all":
            weaker = f"; as single findings, after correction, {_counted(found)}" if set(found) != {"better"} else ""
            return f"holds: {every} better{weaker}"
        if self.status == "refuted":
            return f"refuted: {every} worse or equivalent ({_counted(alone)})"
        if len(found) == 1:
            return f"{self.status}: {every} {found[0]}"
        order = {"holds": ("better",), "fails": ("worse", "equivalent")}.get(self.status, ())
        kinds = sorted(dict.fromkeys(found), key=lambda kind: order.index(kind) if kind in order else len(order))
        first, *others = kinds
        count = found.count(first)
        rest = "".join(f", {found.count(kind)} {kind}" for kind in others)
        return f"{self.status}: {count} of {total} {'is' if count == 1 else 'are'} {first}{rest}"

    def _named(self, *kinds: Finding) -> tuple[str, ...]:
        return tuple(part.name for part in self.parts if part.finding in kinds)


def _counted(found: list[Finding]) -> str:
    return ", ".join(f"{found.count(kind)} {kind}" for kind in dict.fromkeys(found))
