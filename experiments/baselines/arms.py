"""What is compared: the models, how each is asked for, and over which seeds."""

from dataclasses import dataclass, replace
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TUNED = ROOT / "conf" / "experiment"
RUNS, PUBLISHED, STUDIES = (Path("outputs") / name for name in ("sweeps/tuned", "sweeps/published", "tuning"))

NAMES = {"ndcg@10": "NDCG@10", "hit@10": "HR@10"}
METRICS = tuple(NAMES)
"""Reported; the first is the one that tuning and early stopping see, on validation."""

TRAINED = ("neg_ratio=4", "trainer.epochs=60", "trainer.patience=10")
"""Settings that every model trained by gradient shares."""

_SEEDS = range(42, 52)


@dataclass(frozen=True)
class Arm:
    """A model of the comparison.

    Attributes:
        name: of its runs, and of its experiment.
        title: as the page calls it.
        choices: group=choice of a training run.
        settings: key=value that tuning does not touch.
        seeds: one if nothing about it is random.
        ncf: whether it is a model of He et al. 2017; the others are the baselines.
        sweep: where its runs lie.
        tuned: whether its experiment, tuned_<name>, has what tuning chose; or else, as <name>, the default settings.
    """

    name: str
    title: str
    choices: tuple[str, ...]
    settings: tuple[str, ...] = ()
    seeds: range = _SEEDS
    ncf: bool = False
    sweep: Path = RUNS
    tuned: bool = True

    @property
    def experiment(self) -> str:
        """The name of its YAML file in conf/experiment."""
        return f"tuned_{self.name}" if self.tuned else self.name

    @property
    def overrides(self) -> list[str]:
        """Of a training run."""
        return [*self.choices, *self.settings]

    def folder(self, seed: int) -> Path:
        """Of its run with this seed."""
        return self.sweep / f"{self.name}-s{seed}"


def _fixed(name: str, title: str) -> Arm:
    return Arm(name, title, (f"model={name}",), seeds=range(42, 43))


_LIST = [
    _fixed("popularity", "Popularity"),
    _fixed("user_knn", "UserKNN"),
    _fixed("item_knn", "ItemKNN"),
    _fixed("puresvd", "PureSVD"),
    _fixed("ease", "EASE"),
    Arm("als", "ALS (ratings)", ("model=als",)),
    Arm("ials", "iALS", ("model=ials",)),
    Arm("mf", "MF, BCE", ("model=mf",), TRAINED),
    Arm("bpr_mf", "BPR-MF", ("model=mf", "loss=bpr"), TRAINED),
    Arm("gmf", "GMF", ("model=gmf",), TRAINED, ncf=True),
    Arm("mlp", "MLP", ("model=mlp",), TRAINED, ncf=True),
    Arm("neumf", "NeuMF, BCE", ("model=neumf",), TRAINED, ncf=True),
    Arm("neumf_default", "NeuMF, BCE, default settings", ("model=neumf",), TRAINED, ncf=True, tuned=False),
    Arm("neumf_pretrained", "NeuMF, pre-trained", ("model=neumf_pretrained",), TRAINED, ncf=True),
]

ARMS: dict[str, Arm] = {arm.name: arm for arm in _LIST}
"""By name, a model after those that it is built from."""

REFERENCES = ("neumf", "neumf_default")
"""NeuMF with BCE, as tuned and by default: the better one on validation is what all others are tested against."""

PROTOCOL = ("evaluation=sampled", "data.threshold=null")
"""The protocol of the published values: 99 sampled negatives, every rating a positive."""


def _retuned(arm: Arm) -> Arm:
    choices, settings = (*arm.choices, PROTOCOL[0]), (*arm.settings, PROTOCOL[1])
    name, title = f"{arm.name}_published", f"{arm.title} under the published protocol"
    return replace(
        arm, name=name, title=title, choices=choices, settings=settings, seeds=arm.seeds[:5], sweep=PUBLISHED
    )


RETUNED = {name: _retuned(ARMS[name]) for name in ("user_knn", "item_knn", "puresvd", "neumf", "ials", "ease")}
"""Models with published values, tuned a second time, under the published protocol; by the name of their arm."""
