"""One repetition: halving goes by validation, goes on as if it had not been interrupted, and reads test once."""

from collections.abc import Callable, Sequence

import pytest

from experiments.tuned_losses import procedure
from experiments.tuned_losses.design import Design, Unit
from experiments.tuned_losses.procedure import Repetition, Stopped
from experiments.tuned_losses.table import Row
from ncf.core.compose import compose, configuration
from ncf.errors import TrainingError
from ncf.runs.plan import plan_run

UNIT = Unit(1, 2, "focal")


def repeated(
    design: Design,
    finished: Sequence[Row] = (),
    unit: Unit = UNIT,
    after: int = 10**6,
    append: Callable[[Row], None] | None = None,
) -> list[Row]:
    """The new rows of a repetition; a signal comes after so many of them."""
    rows: list[Row] = []
    with configuration():
        data = plan_run(compose(design.settings)).data()
        made = Repetition(
            design, unit, data, design.rungs, design.refits.runs, finished, rows.append, lambda: len(rows) >= after
        )
        try:
            made.run()
        except Stopped:
            assert after < 10**6
    return rows


def key(row: Row) -> tuple[object, ...]:
    """All of a row but how long it took."""
    return tuple(value for name, value in vars(row).items() if name != "seconds")


def test_the_best_on_validation_go_on_and_test_is_read_for_refits_alone(small: Design) -> None:
    rows = repeated(small)
    rungs = {
        epochs: {r.number: r.valid_ndcg for r in rows if (r.stage, r.epochs) == ("trial", epochs)}
        for epochs in (1, 2, 4)
    }
    assert [len(values) for values in rungs.values()] == [4, 2, 1]
    for low, high in ((1, 2), (2, 4)):
        best = sorted(rungs[low], key=lambda trial: (-rungs[low][trial], trial))[: len(rungs[high])]
        assert set(rungs[high]) == set(best)
    assert all((row.test_ndcg is None) == (row.stage == "trial") for row in rows)
    assert len({row.run for row in rows}) == len(rows) == 9
    assert len({row.seed for row in rows if row.stage == "refit"} | {row.seed for row in rows if row.epochs == 1}) == 6


def test_a_configuration_that_goes_on_is_as_one_that_trained_at_once(small: Design) -> None:
    whole = repeated(small)
    for kept in ([r for r in whole if r.epochs == 1], [r for r in whole if r.stage == "trial"]):
        known = {row.run for row in kept}
        again = repeated(small, kept)
        assert list(map(key, again)) == [key(row) for row in whole if row.run not in known]


@pytest.mark.slow
@pytest.mark.parametrize("after", [1, 8])
def test_a_repetition_that_was_stopped_goes_on_to_the_same_rows(small: Design, after: int) -> None:
    first = repeated(small, after=after)
    assert len(first) == after
    assert list(map(key, first + repeated(small, first))) == list(map(key, repeated(small)))


def test_arms_share_configurations_and_seeds_but_for_the_weights_of_the_loss(small: Design) -> None:
    arms = {arm: small.configuration(Unit(3, 0, arm), 2) for arm in small.arms}
    shared = {arm: {k: v for k, v in own.items() if not k.startswith("loss.")} for arm, own in arms.items()}
    assert shared["bce"] == shared["alpha_bce"] == shared["focal"] == arms["bce"]
    assert arms["alpha_bce"]["loss.alpha"] == arms["focal"]["loss.alpha"]
    assert ("loss.gamma" in arms["focal"], "loss.gamma" in arms["alpha_bce"]) == (True, False)
    assert small.configuration(Unit(3, 0, "bce"), 3) != arms["bce"] != small.configuration(Unit(4, 0, "bce"), 2)
    assert small.configuration(Unit(3, 1, "bce"), 2) != arms["bce"]


def test_a_refit_that_never_learned_is_replaced_and_its_test_value_is_not_read(small: Design) -> None:
    demanding = small.model_copy(update={"refits": small.refits.model_copy(update={"learned": 0.999999})})
    rows = repeated(demanding)
    refits = [row for row in rows if row.stage == "refit"]
    best = max(row.valid_ndcg for row in rows if (row.stage, row.epochs) == ("trial", 4))
    learned = [row for row in refits if row.valid_ndcg >= 0.999999 * best]
    assert [row.test_ndcg is not None for row in refits] == [row in learned for row in refits]
    assert len(refits) > 2 or len(learned) == 2
    assert [row.seed for row in refits][2:] == [small.refit_seed(UNIT, n) for n in range(2, len(refits))]
    assert len({row.seed for row in refits}) == len(refits) <= 4


def test_a_trial_that_fails_has_the_value_0(small: Design, monkeypatch: pytest.MonkeyPatch) -> None:
    built = procedure.build_trainer

    def failing(plan, *rest, **hooks):  # type: ignore[no-untyped-def]
        if plan.run.seed == small.trial_seed(UNIT, 0):
            raise TrainingError("not finite")
        return built(plan, *rest, **hooks)

    monkeypatch.setattr(procedure, "build_trainer", failing)
    rows = repeated(small)
    assert [(r.valid_ndcg, r.best_epoch, r.trained) for r in rows if r.number == 0 and r.stage == "trial"] == [
        (0, 0, 0)
    ]
