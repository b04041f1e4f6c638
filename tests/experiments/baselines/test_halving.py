"""Models that are trained by gradient are tuned alike, by draws of successive halving that do not see test."""

from dataclasses import replace
from pathlib import Path

import pytest

from experiments.baselines import halving
from experiments.baselines.arms import ARMS, RETUNED, Arm
from experiments.baselines.tuning import by_gradient
from experiments.tuned_losses import runner, table
from experiments.tuned_losses.design import Unit

TRAINED = ["mf", "bpr_mf", "gmf", "mlp", "neumf", "neumf_pretrained"]
TINY = [
    "model=gmf", "neg_ratio=2", "trainer.patience=2", "data=synthetic", "data.users=40", "data.items=60",
    "data.interactions=600",
]  # fmt: skip
RULES = {
    "draws": 2, "earlier_trials": 1, "first_seed": 1,
    "rungs": [{"configurations": 3, "epochs": 1}, {"configurations": 1, "epochs": 2}],
    "refits": {"runs": 2, "epochs": 3, "learned": 0.01}, "space": {}, "earlier": {},
}  # fmt: skip


def test_what_is_trained_by_gradient_is_tuned_by_halving() -> None:
    assert [name for name, arm in ARMS.items() if by_gradient(arm)] == TRAINED
    assert [name for name, arm in RETUNED.items() if by_gradient(arm)] == ["neumf"]
    assert halving.configurations() == 95


@pytest.mark.parametrize(
    "arm", [ARMS["bpr_mf"], ARMS["mlp"], ARMS["neumf"], RETUNED["neumf"]], ids=lambda arm: arm.name
)
def test_an_arm_draws_its_models_space_under_its_own_loss_and_protocol(arm: Arm) -> None:
    made = halving.procedure(arm, arm.overrides)
    assert made.arms[arm.name].loss == ("bpr" if arm.name == "bpr_mf" else "bce")
    assert set(made.settings) >= set(arm.overrides) - {"loss=bpr"}
    drawn = [made.configuration(Unit(0, 0, arm.name), trial) for trial in range(16)]
    assert len({config["optimizer.lr"] for config in drawn}) > 12
    tower = arm.name != "bpr_mf"
    assert ("model.hidden" in drawn[0], "model.dropout" in drawn[0]) == (tower, tower)
    if not tower:
        assert all(isinstance(config["model.factors"], int) and 8 <= config["model.factors"] <= 128 for config in drawn)


def test_a_model_that_starts_at_other_runs_has_their_seeds() -> None:
    arm = ARMS["neumf_pretrained"]
    fixed = [*arm.overrides, "model.pretrained_gmf=g-s${seed}", "model.pretrained_mlp=m-s${seed}"]
    made, unit = halving.procedure(arm, fixed), Unit(0, 3, arm.name)
    assert {made.trial_seed(unit, trial) for trial in range(16)} == set(arm.seeds)
    assert {made.refit_seed(unit, number) for number in range(8)} < set(arm.seeds)


@pytest.fixture
def tiny(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Arm, list[str]]:
    monkeypatch.setattr(halving, "rules", lambda: RULES)
    monkeypatch.setattr(runner, "LOCKS", tmp_path / "locks")
    return ARMS["gmf"], [*TINY, f"data.root={root}"]


def test_the_draw_with_the_best_refits_is_chosen_and_test_is_not_read(
    tiny: tuple[Arm, list[str]], tmp_path: Path
) -> None:
    summary = halving.tune(*tiny, tmp_path / "rows")
    rows = table.read(tmp_path / "rows" / "gmf")
    assert len(rows) == 2 * (3 + 1 + 2)
    assert all(row.test_ndcg is None and row.test_hit is None for row in rows)
    means = [halving.refitted(rows, Unit(0, draw, "gmf")) for draw in (0, 1)]
    best = means.index(max(means))
    last = next(row for row in rows if (row.stage, row.epochs, row.draw) == ("trial", 2, best))
    made = halving.procedure(*tiny)
    assert summary["best"] == made.configuration(Unit(0, best, "gmf"), last.number)
    assert (summary["value"], summary["trials"]) == (max(means), 7)
    assert halving.of_draws("gmf", tmp_path / "rows") == means
    before = (tmp_path / "rows" / "gmf" / "block-00.csv").read_bytes()
    assert halving.tune(*tiny, tmp_path / "rows") == summary
    assert (tmp_path / "rows" / "gmf" / "block-00.csv").read_bytes() == before


@pytest.mark.parametrize(("rate", "kept"), [(0.01, True), (1e-12, False)])
def test_what_was_chosen_earlier_stays_if_its_refits_are_better(
    rate: float, kept: bool, tiny: tuple[Arm, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = {"optimizer.lr": rate, "model.factors": 8, "trainer.batch_size": 256}
    monkeypatch.setattr(halving, "rules", lambda: RULES | {"earlier": {"gmf": earlier, "mf": {}}})
    monkeypatch.setattr(halving, "refitted", lambda rows, unit: _mean(rows, unit) + (unit.draw == 2 and kept))
    summary = halving.tune(*tiny, tmp_path / "rows")
    rows = [row for row in table.read(tmp_path / "rows" / "gmf") if row.draw == 2]
    assert [(row.stage, row.test_ndcg) for row in rows] == [("refit", None)] * 2
    assert (summary["best"] == earlier) == kept


def _mean(rows: list[table.Row], unit: Unit) -> float:
    values = [row.valid_ndcg for row in rows if row.stage == "refit" and row.draw == unit.draw]
    return sum(values) / len(values)


def test_a_refit_that_never_learned_counts_against_its_draw() -> None:
    row = table.Row(0, 0, "gmf", "refit", 0, 3, "r", 1, 3, 1, 0.08, 0.0, None, None, 0.1, "s", "c")
    rows = [row, replace(row, number=1, valid_ndcg=0.0), replace(row, draw=1), replace(row, stage="trial")]
    assert halving.refitted(rows, Unit(0, 0, "gmf")) == 0.04


def test_draws_that_are_not_complete_end_with_75(tiny: tuple[Arm, list[str]], tmp_path: Path) -> None:
    with runner.claim(tmp_path / "locks" / "gmf" / Unit(0, 1, "gmf").name), pytest.raises(SystemExit) as ended:
        halving.tune(*tiny, tmp_path / "rows")
    assert ended.value.code == 75
