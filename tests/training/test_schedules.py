"""Learning rates at named steps, as numbers and as PyTorch's own schedulers give them."""

import pytest
import torch
from toys import keys_of

from ncf.core.config import component
from ncf.errors import ConfigError
from ncf.training.optimizers import OPTIMIZERS
from ncf.training.schedules import Schedule


def rates(schedule: Schedule, count: int, steps: int = 10) -> list[float]:
    return [schedule.rate(step, steps) for step in range(count)]


def test_a_constant_rate_is_the_rate_to_the_bit() -> None:
    assert rates(Schedule(1e-3), 3) == [1e-3] * 3
    assert Schedule(1e-3).constant
    assert not Schedule(1e-3, warmup="1steps").constant


def test_the_warm_up_rises_linearly_and_then_stays() -> None:
    assert rates(Schedule(8.0, warmup="4steps"), 6) == [2.0, 4.0, 6.0, 8.0, 8.0, 8.0]
    assert rates(Schedule(8.0, warmup="2epochs"), 5, steps=2) == [2.0, 4.0, 6.0, 8.0, 8.0]


def test_the_cosine_falls_to_zero_and_stays_there() -> None:
    found = rates(Schedule(2.0, "cosine", period="4steps"), 7)
    assert found == pytest.approx([2.0, 1 + 0.5**0.5, 1.0, 1 - 0.5**0.5, 0.0, 0.0, 0.0], abs=1e-15)
    epochs = rates(Schedule(2.0, "cosine", period="2epochs"), 7, steps=2)
    assert epochs == found


def test_the_cosine_begins_after_the_warm_up() -> None:
    found = rates(Schedule(2.0, "cosine", warmup="2steps", period="2steps"), 6)
    assert found == pytest.approx([1.0, 2.0, 2.0, 1.0, 0.0, 0.0], abs=1e-15)


def test_steps_multiply_the_rate_after_every_period() -> None:
    assert rates(Schedule(8.0, "step", period="2steps", decay=0.5), 6) == [8.0, 8.0, 4.0, 4.0, 2.0, 2.0]
    assert rates(Schedule(8.0, "step", period="1epoch", decay=0.5), 6, steps=3) == [8.0] * 3 + [4.0] * 3
    assert rates(Schedule(8.0, "step", warmup="1step", period="2steps", decay=0.5), 5) == [8.0, 8.0, 8.0, 4.0, 4.0]


def test_rates_are_those_of_torch() -> None:
    schedulers = torch.optim.lr_scheduler
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    warm = schedulers.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 3))
    theirs = schedulers.SequentialLR(optimizer, [warm, schedulers.CosineAnnealingLR(optimizer, 20)], [3])
    expected = []
    for _ in range(23):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()
    assert rates(Schedule(0.3, "cosine", warmup="3steps", period="2epochs"), 23) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"schedule": "linear"}, "schedule: .*'constant', 'cosine' or 'step', got 'linear'"),
        (
            {"schedule": "cosine"},
            "period: expected the length of schedule=cosine, such as optimizer.period=2000steps or .*, got None",
        ),
        (
            {"schedule": "step"},
            "period: expected the length of schedule=step, such as optimizer.period=2000steps .*, got None",
        ),
        ({"period": "10"}, "period: expected a number of steps or epochs, such as .*, got '10'"),
        ({"warmup": "0steps"}, "warmup: expected a number of steps or epochs, such as .*, got '0steps'"),
        ({"warmup": "٣steps"}, "warmup: expected "),
        (
            {"warmup": 500},
            r"warmup: expected a number of steps or epochs, .* \(did you mean 500steps or 500epochs\?\), got 500$",
        ),
        ({"warmup": "100s"}, r"warmup: expected .* \(did you mean 100steps or 100epochs\?\), got '100s'$"),
        ({"warmup": 1}, r"warmup: expected .* \(did you mean 1step or 1epoch\?\), got 1$"),
        ({"warmup": True}, "warmup: expected [^?]*, got True$"),
        ({"schedule": "cosine", "period": 20}, r"period: expected .* \(did you mean 20steps or 20epochs\?\), got 20$"),
        ({"decay": 1.0}, "decay: .*less than 1, got 1.0"),
        ({"clip_norm": 0.0}, "clip_norm: .*greater than 0, got 0.0"),
    ],
)
def test_a_schedule_that_is_none_is_refused_by_its_key(optimizer: str, values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^optimizer\.{message}") as caught:
        component("optimizer", OPTIMIZERS, keys_of("optimizer", optimizer) | values)
    assert "\n" not in str(caught.value)
