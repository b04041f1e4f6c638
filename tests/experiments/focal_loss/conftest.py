"""The study as it is committed."""

from pathlib import Path

import pytest

from experiments.focal_loss import sections
from ncf.report.study import PRESENTATION, Study, load
from ncf.study import load as load_registration

FOLDER = Path(sections.__file__).parent


@pytest.fixture(scope="session")
def study() -> Study:
    """The registration and its results."""
    plan = FOLDER / "preregistration.yaml"
    return load(FOLDER, load_registration(plan, plan.with_name(PRESENTATION)))


@pytest.fixture(scope="session")
def quick(study: Study) -> Study:
    """The same with few resamples of the bootstrap, whose intervals are not committed."""
    plan = study.registration.model_copy(update={"resamples": 999})
    return Study(plan, study.runs, study.protocol, study.companions)
