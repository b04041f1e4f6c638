"""Logs of A that explores: propensities, the table of logged feedback, and what it can be read with."""

from pathlib import Path

import numpy as np
import pytest
from toy_services import design, service

from ncf.data import feedback
from ncf.off_policy.estimators import ips
from ncf.off_policy.rounds import Rounds
from ncf.service import Sample
from ncf.service.designs.off_policy import OffPolicy


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_the_log_is_a_table_of_logged_feedback_that_is_read_back(form: str, tmp_path: Path) -> None:
    if form == "parquet":
        pytest.importorskip("pyarrow")
    own = design("off_policy")
    assert isinstance(own, OffPolicy)
    sample = Sample(service(), range(1))
    log = own.feedback(sample)
    feedback.write(log, tmp_path / f"log.{form}")
    found = feedback.read(tmp_path / f"log.{form}")
    assert len(found) == 3 * int(sample.counts[0, :, 1:].sum())
    assert np.allclose(found.propensity, log.propensity)
    assert found.user is not None
    assert set(found.user) <= {f"user{n}" for n in range(400)}  # which no run takes for its own
    assert found.position is not None
    assert set(found.position.tolist()) == {0, 1, 2}
    assert found.slate is not None
    assert (np.bincount(found.slate) == 3).all()


def test_weights_of_the_logging_policy_itself_give_its_own_clicks() -> None:
    own = design("off_policy", temperature=0.7)
    assert isinstance(own, OffPolicy)
    made = service(users=5000)
    log = own.feedback(Sample(made, range(1)))
    assert log.reward is not None
    rounds = Rounds(3 * log.reward, log.propensity, log.propensity, clusters=log.user)
    truth = float(made.value(own.logging.marginals(made.pool.first, 3)).mean())
    found = ips(rounds)
    assert abs(found.value - truth) <= 3 * found.standard_error


def test_a_share_of_the_sessions_is_logged() -> None:
    own = design("off_policy", share=0.25)
    assert isinstance(own, OffPolicy)
    sample = Sample(service(users=2000), range(1))
    total = int(sample.counts[0, :, 1:].sum())
    kept = len(next(own.logs(sample)).click) / 3
    assert abs(kept - total / 4) <= 4 * (total * 0.25 * 0.75) ** 0.5
