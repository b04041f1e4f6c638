"""Parameters chosen from the data: no worse than the estimator without a bias, and better where a few weights rule."""

from dataclasses import replace

import numpy as np
import pytest

from ncf.off_policy import estimators as e
from ncf.off_policy.rounds import Rounds
from ncf.off_policy.tuning import candidates, tuned

from .conftest import World

NAMES = {"clip": e.clipped_ips, "tau": e.switch_dr, "lambda": e.dr_os}


@pytest.mark.parametrize("parameter", NAMES)
def test_candidates_run_from_no_change_to_most(parameter: str) -> None:
    found = candidates(np.array([0, 0.5, 2.0, 8.0]), parameter)
    assert found[0] == np.inf
    assert found == sorted(found, reverse=True)
    assert found[-1] == (0.5 if parameter == "clip" else 0)
    assert found[1] == (64 if parameter == "lambda" else 8)


@pytest.mark.parametrize("parameter", NAMES)
def test_the_choice_is_the_least_estimated_error_of_all_candidates(world: World, parameter: str) -> None:
    log = world.log(np.random.default_rng(2), 300, world.chance**2)
    found = tuned(log, NAMES[parameter], parameter)
    plain = NAMES[parameter](log, np.inf)
    errors = {}
    for value in candidates(log.weight, parameter):
        one = NAMES[parameter](log, value)
        errors[value] = one.standard_error**2 + (one.value - plain.value) ** 2
    assert found.details[parameter] == min(errors, key=errors.__getitem__)
    assert f"{parameter} chosen from the same data" in found.warnings


def test_one_huge_weight_is_given_to_a_model_that_is_right() -> None:
    """A click that was shown once in ten thousand rounds by chance; the model knows that nothing happens there."""
    n = 500
    reward, pscore, chosen = np.full(n, 0.5), np.full(n, 0.5), np.full(n, 0.5)
    reward[::2] = 0.4
    pscore[7], chosen[7], reward[7] = 1e-4, 0.5, 0.9
    log = Rounds(reward, pscore, chosen, np.full(n, 0.45), np.full(n, 0.45))
    assert e.dr(log).value > 4
    assert e.dm(log).value < tuned(log, e.dr_os, "lambda").value < 0.7 * e.dr(log).value


@pytest.mark.slow
def test_tuned_estimates_err_little_more_than_dr_where_the_model_is_wrong(world: World) -> None:
    """Over 500 logs, with a model that is off by a third."""
    stream, error = np.random.default_rng(9), dict.fromkeys(("dr", "tau", "lambda", "dm"), 0.0)
    for _ in range(500):
        log = world.log(stream, 400, world.chance**2)
        found = {"dr": e.dr(log), "dm": e.dm(log)} | {p: tuned(log, NAMES[p], p) for p in ("tau", "lambda")}
        for name, one in found.items():
            error[name] += (one.value - world.value) ** 2 / 500
    assert error["tau"] < 1.5 * error["dr"] < error["dm"]
    assert error["lambda"] < 1.5 * error["dr"]


@pytest.mark.parametrize("parameter", ["tau", "lambda"])
def test_the_noise_of_a_fitted_model_does_not_sway_the_choice(parameter: str) -> None:
    """It is the same in all candidates; counted, it would hide what a huge weight costs."""
    reward, pscore, chosen = np.tile([0.0, 1], 250), np.full(500, 0.5), np.full(500, 0.5)
    pscore[3] = 1e-4
    log = Rounds(reward, pscore, chosen, np.full(500, 0.5), np.full(500, 0.5), fitted=True)
    found = tuned(log, NAMES[parameter], parameter)
    assert found.details[parameter] == tuned(replace(log, fitted=False), NAMES[parameter], parameter).details[parameter]
    assert found.details[parameter] < np.inf
