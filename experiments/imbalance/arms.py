"""What is compared: five ways to train one model on few positives among many items."""

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
RUNS = Path("outputs") / "sweeps" / "imbalance"
SEEDS = range(10)
BASELINE = "bce"
TOP = 10
RULES = {"top_n": f"top {TOP}", "threshold": "threshold"}

_SHARED = (
    "split=random", "model=neumf", "neg_ratio=4", "trainer.epochs=40", "trainer.patience=5", "trainer.batch_size=1024",
    "trainer.progress=false", "device=cpu", "evaluation.cutoffs=[10]",
)  # fmt: skip


@dataclass(frozen=True)
class Arm:
    """A setting, run with every seed; all share one split.

    Attributes:
        name: of its runs.
        title: as the page calls it.
        settings: its overrides.
    """

    name: str
    title: str
    settings: tuple[str, ...]

    def overrides(self, seed: int) -> list[str]:
        """Of its run with this seed."""
        return [*_SHARED, *self.settings, f"seed={seed}"]

    def folder(self, seed: int) -> Path:
        """Of its run with this seed."""
        return RUNS / f"{self.name}-s{seed}"


_LIST = [
    Arm(BASELINE, "BCE", ("loss=bce",)),
    Arm("focal", "focal loss", ("loss=focal", "loss.gamma=2.0", "loss.alpha=0.25")),
    Arm("weighted", "weighted BCE, 20:1", ("loss=weighted_bce", "loss.positive_weight=20.0")),
    Arm(
        "item_weighted", "weighted BCE, 20:1, by item",
        ("loss=item_weighted_bce", "loss.positive_weight=20.0", "loss.power=0.5"),
    ),
    Arm("popular_negatives", "BCE, negatives by popularity", ("loss=bce", "sampler=popularity", "sampler.power=0.75")),
]  # fmt: skip
ARMS = {arm.name: arm for arm in _LIST}
