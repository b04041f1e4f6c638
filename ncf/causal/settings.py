"""How an effect is estimated."""

from dataclasses import dataclass, field

from ncf.causal.learners import Learner
from ncf.causal.matching import Rule
from ncf.causal.weighting import ESTIMANDS
from ncf.errors import ConfigError
from ncf.stats.checks import StatisticsError, fraction, number, one_of, whole

ESTIMATORS = ("standardise", "ipw", "match", "aipw", "dml")
FORMS = ("partially_linear", "interactive")
OVERLAP = ("refuse", "warn")
_REPEATS, _MANY = 10, 20_000


@dataclass(frozen=True)
class Settings:
    """How an effect is estimated.

    Attributes:
        estimators: some of ESTIMATORS.
        estimand: "ATE", "ATT", "ATC" or, for ipw and dml, "ATO".
        score_model: "logistic", "forest", "boosting", or a classifier as in scikit-learn.
        outcome_model: of dml and cross-fitted aipw: "linear", "forest", "boosting", or a regressor as in scikit-learn.
        trim: bounds of the scores of units that are kept; "best" for those of Crump et al. (2009); None: all are kept.
        refit: whether scores are estimated again on the units that are kept.
        normalised: of ipw: weights sum to one in each arm.
        folds: of dml and aipw; with 1, aipw has linear and logistic regressions fitted to all units.
        repeats: divisions into folds whose predictions are averaged; None: 10 for fewer than 20,000 units, else 1.
        form: of dml, one of FORMS; None: partially linear for the ATE and ATO, else interactive.
        clip: scores of dml and cross-fitted aipw are moved into [clip, 1 - clip].
        rule: of match.
        level: nominal coverage of intervals.
        overlap: "refuse" or "warn" where the arms do not overlap.
        seed: of the folds and of named learners.
    """

    estimators: tuple[str, ...] = ("aipw",)
    estimand: str = "ATE"
    score_model: Learner | str = "logistic"
    outcome_model: Learner | str = "linear"
    trim: tuple[float, float] | str | None = None
    refit: bool = True
    normalised: bool = True
    folds: int = 5
    repeats: int | None = None
    form: str | None = None
    clip: float = 0.0
    rule: Rule = field(default_factory=Rule)
    level: float = 0.95
    overlap: str = "refuse"
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise ConfigError or StatisticsError for a setting out of range."""
        for name in self.estimators:
            one_of(name, "estimator", ESTIMATORS)
        if not self.estimators or len(set(self.estimators)) < len(self.estimators):
            raise ConfigError(f"estimator: expected some of {', '.join(ESTIMATORS)}, each once")
        one_of(self.estimand, "estimand", ESTIMANDS)
        one_of(self.overlap, "overlap", OVERLAP)
        one_of(self.dml_form, "form", FORMS)
        fraction(self.level, "level")
        whole(self.folds, "folds", 1)
        whole(self.divisions(0), "repeats", 1)
        if not 0 <= number(self.clip, "clip") < 0.5:
            raise StatisticsError(f"clip: expected a number in [0, 0.5), got {self.clip:g}")
        if self.estimand == "ATO" and (others := set(self.estimators) - {"ipw", "dml"}):
            raise ConfigError(f"estimand=ATO: expected estimators ipw or dml, got {', '.join(sorted(others))}")
        if "dml" in self.estimators and (self.estimand == "ATO") > (self.dml_form == "partially_linear"):
            raise ConfigError("estimand=ATO: expected form=partially_linear for dml")
        if "dml" in self.estimators and self.estimand in ("ATT", "ATC") and self.dml_form == "partially_linear":
            raise ConfigError(f"estimand={self.estimand}: expected form=interactive for dml")
        if "dml" in self.estimators and self.folds < 2:
            raise ConfigError("folds: expected at least 2 for dml, got 1")

    @property
    def dml_form(self) -> str:
        """The form of dml."""
        return self.form or ("partially_linear" if self.estimand in ("ATE", "ATO") else "interactive")

    def divisions(self, n: int) -> int:
        """Return how many divisions into folds N units have."""
        return self.repeats if self.repeats is not None else _REPEATS if n < _MANY else 1

    @property
    def crossed(self) -> bool:
        """Whether aipw is cross-fitted."""
        return self.folds > 1
