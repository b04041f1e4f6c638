"""Opting in: what warns of a hidden confounder, and a confounder that there is none of."""

import pandas as pd
import pytest
from toy_services import asked, design, service

from ncf.service import samples
from ncf.service.tables import ask


def test_a_hidden_confounder_is_within_the_bound_of_its_strength() -> None:
    made, designs = service(users=800), {"opt_in": design("opt_in", confounding=2.0)}
    table = pd.concat([ask(designs, sample, 0.01) for sample in samples(made, 8)])
    own = table[table["method"] == "opt-in, double ML, unseen"]
    actual = (own["value"] - own["truth"]).mean()
    assert own["hidden_outcome"].between(0, 1).all()
    assert own["hidden_treatment"].mean() > 0.05
    assert actual > 0
    assert own["largest_bias"].mean() > actual - 3 * own["value"].std() / 8**0.5
    seen = table[table["method"] == "opt-in, double ML, seen"]
    assert (seen["largest_bias"] == 0).all()
    assert (own["evalue"] > seen["evalue"].mean()).all()


@pytest.mark.slow
def test_without_confounding_no_method_is_biased() -> None:
    found = asked(service(users=300, enthusiasm=0.0), 40, ["opt_in"])
    assert (found["bias"].abs() <= 3.5 * found["bias_error"]).all(), found["bias"]  # 13 methods of the same users


def test_without_days_before_only_the_confounder_is_adjusted_for() -> None:
    found = asked(service(before=0), 2, ["opt_in"])
    assert len(found) == 13
