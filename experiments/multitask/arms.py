"""What is compared: two heads on one embedding or on their own, at two pairs of weights, and one tuned setting."""

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
RUNS = Path("outputs") / "sweeps" / "multitask"
SEEDS = range(10)

_TWO_TASKS = ("experiment=multitask", "trainer.progress=false", "device=cpu", "evaluation.cutoffs=[10]")

PROTOTYPE = (
    "split.valid=0.05", "split.test=0.00001", "loss.link=sigmoid", "trainer.epochs=20", "trainer.patience=20",
)  # fmt: skip
"""As the prototype measured: 95% of the ratings train, and the other 5%, the validation of a run here, are looked at
after each of 20 epochs. A run has to have a test rating too: one, which nobody looks at."""

TUNED = (
    "trainer.epochs=40", "trainer.patience=5", "loss.link=log", "neg_ratio=4", "trainer.batch_size=1280",
    "optimizer.lr=0.002", "optimizer.weight_decay=0.00001", "loss.ranking=0.95", "loss.rating=0.05",
)  # fmt: skip
"""With 5% of the ratings for validation and 5% for test, which is looked at once."""

TRIALS = 5
"""What choosing TUNED took, by hand: runs of 25 epochs with shared factors and seed 0, of which the MRR and the squared
error of the prototype's held-out 5% were looked at."""

_UNSEEN = 100  # added to a seed, for splits that the trials did not see


@dataclass(frozen=True)
class Arm:
    """A setting, run with every seed: the seed of its weights and batches, and of its split.

    Attributes:
        name: of its runs.
        title: as the page calls it.
        settings: its overrides.
        table: "prototype" or "tuned".
    """

    name: str
    title: str
    settings: tuple[str, ...]
    table: str

    def overrides(self, seed: int) -> list[str]:
        """Of its run with this seed."""
        own = PROTOTYPE if self.table == "prototype" else TUNED
        split = seed if self.table == "prototype" else _UNSEEN + seed
        return [*_TWO_TASKS, *own, *self.settings, f"seed={seed}", f"split.seed={split}"]

    def folder(self, seed: int) -> Path:
        """Of its run with this seed."""
        return RUNS / f"{self.name}-s{seed}"


def _weights(ranking: float, rating: float) -> tuple[str, ...]:
    return f"loss.ranking={ranking}", f"loss.rating={rating}"


_PAIRS = {"99": (0.99, 0.01), "50": (0.5, 0.5)}
_SHARED = {"shared": "true", "separate": "false"}

ARMS = {
    f"{kind}_{weight}": Arm(
        f"{kind}_{weight}", f"{kind}, {pair[0]:g}/{pair[1]:g}", (f"model.shared={flag}", *_weights(*pair)), "prototype"
    )
    for kind, flag in _SHARED.items()
    for weight, pair in _PAIRS.items()
}
ARMS |= {
    f"{kind}_tuned": Arm(f"{kind}_tuned", f"{kind}, tuned", (f"model.shared={flag}",), "tuned")
    for kind, flag in _SHARED.items()
}
