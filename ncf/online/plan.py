"""The settings of an analysis, and the plan of an experiment: written before it, and hashed into its result."""

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ncf.core.outside import open_regular, read_yaml
from ncf.errors import ConfigError
from ncf.online import sequential

_LARGEST = 64 * 1024  # bytes of a plan
_MOST_REASONS, _LONGEST = 10, 100

Name = Annotated[str, Field(min_length=1, max_length=1000)]
Names = Annotated[tuple[Name, ...], Field(max_length=200)]
Share = Annotated[float, Field(gt=0, lt=1)]
Correction = Literal["holm", "benjamini_hochberg", "none"]


class Settings(BaseModel):
    """How an experiment is analysed.

    Attributes:
        unit: column of the unit that was randomised.
        arm: column of the arm that each was given.
        metric: what is compared: a column, or "clicks/sessions" for a ratio of totals. The first is the primary one.
        control: the arm that others are compared with; None: the one with a usual name, else the first by name.
        shares: arm -> intended share of the units; None: equal.
        covariate: columns from before the experiment, by which metrics are adjusted (CUPED).
        cluster: column of the cluster that was randomised as a whole.
        cluster_method: "robust" errors of unit means, or "means" of clusters.
        strata: column within whose values arms are compared.
        time: column of the day of a row.
        rows: how the rows of a unit are put together; None: "sum" with `time`, else one row is expected.
        exposure: column of how much a unit was exposed, such as sessions.
        segments: columns by whose values the effects are shown too.
        experiments: columns with the arms of other experiments on these units.
        lower: metrics of which less is better.
        alpha: two-sided level of the findings, and 1 - level of the intervals.
        margin: half-width of the region of equivalence, as a share of the control's mean; or
        region: its two ends, in the unit of the metric. Neither: nothing is found equivalent.
        correction: over all metrics and treatments together.
        signed: allow negative whole numbers.
        looks: when the data were to be looked at: after these many days, or with no `time`, at these many units.
        bounds: of the looks.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    unit: Name
    arm: Name
    metric: Annotated[Names, Field(min_length=1)]
    control: str | None = None
    shares: dict[str, Annotated[float, Field(gt=0)]] | None = None
    covariate: Names = ()
    cluster: Name | None = None
    cluster_method: Literal["robust", "means"] = "robust"
    strata: Name | None = None
    time: Name | None = None
    rows: Literal["one", "sum", "mean", "max"] | None = None
    exposure: Name | None = None
    segments: Names = ()
    experiments: Names = ()
    lower: Names = ()
    alpha: Share = 0.05
    margin: Share | None = None
    region: tuple[float, float] | None = None
    correction: Correction = "holm"
    signed: bool = False
    looks: Annotated[tuple[Annotated[int, Field(gt=0)], ...], Field(max_length=500)] = ()
    bounds: Literal["obrien_fleming", "pocock", "obrien_fleming_spending", "pocock_spending"] = "obrien_fleming"

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.margin is not None and self.region is not None:
            raise ValueError("margin: expected margin or region, got both")
        if self.region is not None and not self.region[0] < self.region[1]:
            raise ValueError(f"region: expected the lower end first, got {self.region[0]:g} and {self.region[1]:g}")
        for name in self.lower:
            if name not in self.metric:
                raise ValueError(f"lower: expected some of the metrics, got {name!r}")
        for name in self.metric:
            if name.count("/") > 1 or not all(part.strip() for part in name.split("/")):
                raise ValueError(f"metric: expected a column, or two with one / between, got {name!r}")
        for name in (*self.columns, *self.covariate, *self.experiments):
            if name in (self.unit, self.arm):
                raise ValueError(f"{name}: expected another column than unit= and arm= to be measured or compared")
        if len(set(self.metric)) < len(self.metric):
            raise ValueError("metric: expected each once")
        chosen = [name for name in ("covariate", "cluster", "strata") if getattr(self, name)]
        if len(chosen) > 1:
            raise ValueError(f"{chosen[0]}: expected one of covariate, cluster and strata, got {' and '.join(chosen)}")
        if chosen in (["cluster"], ["strata"]) and any("/" in name for name in self.metric):
            raise ValueError(f"metric: expected no ratio with {chosen[0]}; take the cluster as the unit for one")
        if any(b <= a for a, b in zip(self.looks, self.looks[1:])):
            raise ValueError(f"looks: expected increasing ones, got {', '.join(map(str, self.looks))}")
        return self

    @property
    def level(self) -> float:
        """Nominal coverage of the intervals."""
        return 1 - self.alpha

    @property
    def columns(self) -> list[str]:
        """Columns of numbers that are analysed: metrics with their denominators, and the exposure."""
        parts = [part.strip() for name in self.metric for part in name.split("/")]
        return list(dict.fromkeys([*parts, *([self.exposure] if self.exposure else [])]))

    @property
    def groups(self) -> list[str]:
        """Columns of names that are known of a unit."""
        single = [name for name in (self.cluster, self.strata) if name]
        return list(dict.fromkeys([*single, *self.segments, *self.experiments]))


class Plan(BaseModel):
    """The plan of an experiment.

    Attributes:
        sha256: digest of the file; computed, never read from it.
        question: what the experiment is to answer, in one sentence.
        settings: how it will be analysed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: str
    question: str
    settings: Settings


def settings(**given: Any) -> Settings:
    """Return checked settings; a text stands for a list of one. Raises ConfigError naming each key that is wrong."""
    try:
        return Settings.model_validate(_listed(given))
    except ValidationError as error:
        raise ConfigError(_reasons(error)) from None


def load_plan(path: Path) -> Plan:
    """Load a plan from a YAML file: the settings of `Settings`, and `question`.

    Raises:
        ConfigError: there is no such file, it is no YAML, a key is unknown or out of range, or it plans looks that
            `bounds` cannot be found for; names the file and the key.
    """
    try:
        with open_regular(path, _LARGEST, ConfigError) as file:
            raw = file.read(_LARGEST)
        data = read_yaml(path, ConfigError)
    except FileNotFoundError:
        raise ConfigError(f"plan: no such file: {path}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected a mapping of settings, such as unit: user")
    if missing := {"unit", "arm", "metric"} - data.keys():
        raise ConfigError(f"{path}: expected {', '.join(sorted(missing))} in a plan")
    question = data.pop("question", "")
    if not isinstance(question, str):
        raise ConfigError(f"{path}: question: expected a sentence, got {str(question)[:_LONGEST]!r}")
    try:
        found = Settings.model_validate(_listed({str(key): value for key, value in data.items()}))
    except ValidationError as error:
        raise ConfigError(f"{path}: {_reasons(error)}") from None
    if found.looks:
        sequential.bounds([look / found.looks[-1] for look in found.looks], alpha=found.alpha, kind=found.bounds)
    return Plan(sha256=hashlib.sha256(raw).hexdigest(), question=question, settings=found)


_LISTS = ("metric", "covariate", "segments", "experiments", "lower", "looks", "region")


def _listed(given: dict[str, Any]) -> dict[str, Any]:
    """Return the settings with lists as tuples, and a lone value of a list's key as a tuple of one."""
    found = dict(given)
    for key in _LISTS:
        if key in found and found[key] is not None:
            value = found[key]
            found[key] = tuple(value) if isinstance(value, list | tuple) else (value,)
    return found


def _reasons(error: ValidationError) -> str:
    found = [_explain(one) for one in error.errors()[:_MOST_REASONS]]
    more = error.error_count() - len(found)
    return "; ".join(found) + (f"; and {more} more" if more > 0 else "")


def _explain(error: Any) -> str:
    key = ".".join(str(part) for part in error["loc"])[:_LONGEST]
    if error["type"] == "extra_forbidden":
        return f"{key}: unknown key"
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    found = "" if error["type"] == "missing" else f", got {repr(error['input'])[:_LONGEST]}"
    return f"{key}: {error['msg'][0].lower()}{error['msg'][1:]}{found}"
