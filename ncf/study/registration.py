"""A study's pre-registration: hypotheses, comparisons, decision rules, seeds and grids, validated when loaded."""

import hashlib
import itertools
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from yaml import YAMLError

from ncf.core.balance import resolve_alpha
from ncf.core.config import said
from ncf.core.outside import open_regular, read_yaml
from ncf.stats.checks import StatisticsError

_LARGEST = 64 * 1024  # bytes of a registration; parsing takes a second
_MOST_CHARACTERS = 1_000_000  # with references written out
_MOST_RUNS = 100_000
_DEEPEST = 50
_LONGEST, _MOST_REASONS = 100, 10  # characters of a value in an error, and how many errors
_REFERENCE = re.compile(r"\$\{([\w.-]+)\}")

Ratio = Annotated[int, Field(gt=0, le=10**9)]
Count = Annotated[int, Field(gt=0, le=10**5)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Value = str | int | float
Selector = dict[str, Value]
"""Column -> value that a run must have; `alpha: balanced` means r / (r + 1) at ratio r."""


class Strict(BaseModel):
    """A part of a registration: no key that it does not know, no value of another type, no change."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Claim(Strict):
    """A block of comparisons: one per metric and ratio, or, for `grows`, one per metric.

    Attributes:
        says: "higher": the treatment exceeds the baseline at each ratio; "grows": its gain, treatment - baseline,
            grows with the logarithm of the ratio.
        treatment: name of an arm.
        baseline: name of an arm, paired with the treatment by seed.
        ratios: negatives per positive.
        metrics: result columns.
    """

    says: Literal["higher", "grows"]
    treatment: str
    baseline: str
    ratios: Annotated[list[Ratio], Field(min_length=1)]
    metrics: Annotated[list[str], Field(min_length=1)]

    @model_validator(mode="after")
    def _two_ratios_to_grow(self) -> Self:
        if self.says == "grows" and len(set(self.ratios)) < 2:
            raise ValueError(f"expected at least two ratios for a claim that says grows, got {self.ratios}")
        return self


@dataclass(frozen=True)
class Compared:
    """A single comparison of a claim, at one ratio or, for "grows", over all ratios of the claim."""

    claim: Claim
    metric: str
    ratios: tuple[int, ...]

    @property
    def name(self) -> str:
        """A name such as "focal vs bce, test/ndcg@10, 1:10"."""
        over = ", ".join(f"1:{ratio}" for ratio in self.ratios)
        growth = "growth over " if self.claim.says == "grows" else ""
        return f"{self.claim.treatment} vs {self.claim.baseline}, {self.metric}, {growth}{over}"


class Hypothesis(Strict):
    """A hypothesis and its decision rule: supported if all, or any, of its comparisons hold.

    The comparisons of a hypothesis form one family for the correction.
    """

    statement: str
    supported_if: Literal["all", "any"]
    claims: Annotated[list[Claim], Field(min_length=1)]

    def comparisons(self) -> list[Compared]:
        """Return the family: the comparisons of each claim, by ratio and then by metric."""
        return [
            Compared(claim, metric, ratios)
            for claim in self.claims
            for ratios in ([tuple(claim.ratios)] if claim.says == "grows" else [(r,) for r in claim.ratios])
            for metric in claim.metrics
        ]


class Grid(Strict):
    """Runs to make: each block is the product of its lists, the ratios and their seeds."""

    blocks: Annotated[list[dict[str, Value | list[Value]]], Field(min_length=1)]
    seeds: Annotated[dict[Ratio, Count], Field(min_length=1)]


class Pilot(Strict):
    """Spread measured in a pilot: the standard deviation of a metric's paired differences at a ratio."""

    metric: str
    ratio: Ratio
    baseline_mean: Annotated[float, Field(gt=0)]
    sd_difference: Annotated[float, Field(gt=0)]
    pairs: Annotated[int, Field(ge=2)]


class Presentation(Strict):
    """What the study's report shows, and its own wording; has no influence on the verdict.

    Attributes:
        sections: names of the report's sections, in order; None for all of the library's own.
        grids: grids whose settings the tables list after the arms.
        names: grid -> its name for the reader.
        commands: "report", "runs", "dynamics" or a grid -> the command that produces it.
        background: introduction for readers new to the question.
        limits: what this study cannot answer.
    """

    sections: list[str] | None = None
    grids: list[str] = []
    names: dict[str, str] = {}
    commands: dict[str, str] = {}
    background: str = ""
    limits: list[str] = []

    @model_validator(mode="before")
    @classmethod
    def _a_list_names_sections(cls, data: Any) -> Any:
        return {"sections": data} if isinstance(data, list) else data


class Decision(Strict):
    """What every registration says: a question, and how it is decided.

    Attributes:
        sha256: digest of the file; computed, never read from it.
        question: the study's question, in one sentence.
        alpha: family-wise error rate of each family of tests.
        correction: how p-values are corrected within a family.
        smallest_effect: smallest relative change of interest, the margin of equivalence.
        power: desired probability of detecting a change of `smallest_effect`.
        interval_level: nominal coverage of the intervals.
    """

    sha256: str
    question: str
    alpha: Fraction
    correction: Literal["holm", "bonferroni"]
    smallest_effect: Fraction
    power: Fraction
    interval_level: Fraction


class Registration(Decision):
    """The whole registration; a hypothesis is a family of tests.

    Attributes:
        resamples: number of bootstrap resamples.
        bootstrap_seed: seed of the bootstrap.
        first_seed: the registered seeds are first_seed, first_seed + 1, ...
        seeds: ratio -> number of seeds that the comparisons use.
        metrics: result columns that claims may compare.
        arms: name -> selector of its runs.
        hypotheses: name -> hypothesis.
        grids: name -> runs to make.
        pilot: spreads for planning; may be empty.
        report: the study's report: a list of its sections, or a `Presentation`; optional.
    """

    resamples: Annotated[int, Field(ge=999, le=10**6)]
    bootstrap_seed: Annotated[int, Field(ge=-(2**63), lt=2**63)]
    first_seed: Annotated[int, Field(ge=0, lt=2**62)]
    seeds: Annotated[dict[Ratio, Count], Field(min_length=1)]
    metrics: Annotated[list[str], Field(min_length=1)]
    arms: dict[str, Selector]
    hypotheses: Annotated[dict[str, Hypothesis], Field(min_length=1)]
    grids: Annotated[dict[str, Grid], Field(min_length=1)]
    pilot: list[Pilot]
    report: Presentation = Presentation()

    @model_validator(mode="after")
    def _few_enough_runs_to_list(self) -> Self:
        for name, grid in self.grids.items():
            choices = sum(math.prod(len(v) for v in block.values() if isinstance(v, list)) for block in grid.blocks)
            if (count := choices * sum(grid.seeds.values())) > _MOST_RUNS:
                raise ValueError(f"grids.{name}: expected at most {_MOST_RUNS:,} runs, got {count:.3g}")
        return self

    @model_validator(mode="after")
    def _claims_refer_to_what_is_registered(self) -> Self:
        for name, claim in ((name, claim) for name, h in self.hypotheses.items() for claim in h.claims):
            _known(f"hypotheses.{name}: arm", [claim.treatment, claim.baseline], list(self.arms))
            _known(f"hypotheses.{name}: ratio", claim.ratios, list(self.seeds))
            _known(f"hypotheses.{name}: metric", claim.metrics, self.metrics)
        _known("report.grids", self.report.grids, list(self.grids))
        return self

    @model_validator(mode="after")
    def _grids_make_every_compared_run(self) -> Self:
        runs = [run for name in self.grids for run in self.runs(name)]
        for name, arm, ratio in sorted(self._compared()):
            made = {run["seed"] for run in runs if run["neg_ratio"] == ratio and in_arm(run, self.arms[arm], ratio)}
            if not made.issuperset(self.seeds_at(ratio)):
                raise ValueError(f"hypotheses.{name}: no grid makes all registered runs of arm {arm!r} at 1:{ratio}")
        return self

    def _compared(self) -> set[tuple[str, str, int]]:
        claims = [(name, claim) for name, h in self.hypotheses.items() for claim in h.claims]
        return {(name, arm, r) for name, c in claims for r in c.ratios for arm in (c.treatment, c.baseline)}

    def seeds_at(self, *ratios: int) -> range:
        """Return the registered seeds of a comparison over these ratios: those that all of them have."""
        return range(self.first_seed, self.first_seed + min(self.seeds[ratio] for ratio in ratios))

    def runs(self, grid: str) -> list[dict[str, Value]]:
        """Return all runs of a grid as column -> value, with `neg_ratio` and `seed`, and `balanced` alpha resolved.

        Raises KeyError for an unknown grid.
        """
        return [
            {**{key: resolved(value, ratio) for key, value in choice.items()}, "neg_ratio": ratio, "seed": seed}
            for block in self.grids[grid].blocks
            for ratio, count in self.grids[grid].seeds.items()
            for choice in _crossed(block)
            for seed in range(self.first_seed, self.first_seed + count)
        ]


def load(path: Path, report: Path | None = None) -> Registration:
    """Load a registration from a YAML file.

    Args:
        path: the file.
        report: a file with only the key `report`, so that a study whose registration is frozen can still change what
            its report shows; ignored if it does not exist.

    Raises:
        StatisticsError: the file is missing or not YAML, a key is unknown, missing or out of range, or a hypothesis
            refers to an unregistered arm, ratio, metric or run; names the file and the key.
    """
    raw, data = _read(path)
    if "sha256" in data:
        raise StatisticsError(f"{path}: expected no key sha256: it is computed")
    if report and report.exists():
        _, presentation = _read(report)
        if set(presentation) != {"report"} or "report" in data:
            raise StatisticsError(f"{report}: expected `report` as its only key, and not in the registration as well")
        data |= presentation
    try:
        return Registration.model_validate({**data, "sha256": hashlib.sha256(raw).hexdigest()})
    except ValidationError as error:
        found = [_explain(one) for one in error.errors()[:_MOST_REASONS]]
        more = error.error_count() - len(found)
        raise StatisticsError(f"{path}: {'; '.join(found)}{f'; and {more} more' if more else ''}") from None


def _read(path: Path) -> tuple[bytes, dict[str, Any]]:
    """Return the bytes of a YAML file and the mapping in it, with `${a.b}` standing for the value of its key a.b."""
    try:
        with open_regular(path, _LARGEST, StatisticsError) as file:
            raw = file.read(_LARGEST)
        read_yaml(path, StatisticsError)  # refuses what unfolds without end
        data = OmegaConf.to_container(OmegaConf.create(raw.decode()), resolve=False)
    except (OSError, UnicodeDecodeError, YAMLError, OmegaConfBaseException) as error:
        raise StatisticsError(f"{path}: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise StatisticsError(f"{path}: expected a mapping of settings")
    references = _References(path, data)
    return raw, {str(key): references.resolved(value) for key, value in data.items()}


class _References:
    """Writes out the references of a file, up to `_MOST_CHARACTERS`: a few lines of them can stand for gigabytes."""

    def __init__(self, path: Path, data: dict[Any, Any]) -> None:
        self._path, self._data, self._left = path, data, _MOST_CHARACTERS

    def resolved(self, value: Any, depth: int = 0) -> Any:
        """Return `value` with its references written out. Raises StatisticsError for an unknown one or for too many."""
        self._left -= 1 + len(value) if isinstance(value, str) else 1
        if self._left < 0 or depth > _DEEPEST:
            raise StatisticsError(f"{self._path}: expected at most {_MOST_CHARACTERS:,} characters and references "
                                  f"{_DEEPEST} deep, found more")  # fmt: skip
        if isinstance(value, dict):
            return {key: self.resolved(own, depth + 1) for key, own in value.items()}
        if isinstance(value, list):
            return [self.resolved(own, depth + 1) for own in value]
        if not isinstance(value, str) or "${" not in value:
            return value
        if whole := _REFERENCE.fullmatch(value):
            return self.resolved(self._named(whole[1]), depth + 1)
        text = _REFERENCE.sub(lambda part: str(self.resolved(self._named(part[1]), depth + 1)), value)
        self._left -= len(text)
        if "${" in text:
            raise StatisticsError(f"{self._path}: expected references such as ${{seeds}}, found {text[:60]!r}")
        return text

    def _named(self, name: str) -> Any:
        value: Any = self._data
        for part in name.split("."):
            keys = {str(key): key for key in value} if isinstance(value, dict) else {}
            if part not in keys:
                raise StatisticsError(f"{self._path}: expected a reference to a key of the file, found ${{{name}}}")
            value = value[keys[part]]
        return value


def resolved(value: Value, ratio: int) -> Value:
    """Return `value`; for "balanced", the alpha r / (r + 1) that gives both classes equal total weight."""
    return resolve_alpha(value, ratio) if value == "balanced" else value


def in_arm(run: dict[str, Any], selector: Selector, ratio: int) -> bool:
    """Return whether a run (column -> value) has every value of the selector, numbers within 1e-9."""
    return all(column in run and _equal(run[column], resolved(value, ratio)) for column, value in selector.items())


def _equal(given: Any, wanted: Value) -> bool:
    if isinstance(wanted, str) or isinstance(given, str):
        return bool(given == wanted)
    return abs(float(given) - float(wanted)) <= 1e-9  # NaN equals nothing


def _crossed(block: dict[str, Value | list[Value]]) -> list[dict[str, Value]]:
    options = [value if isinstance(value, list) else [value] for value in block.values()]
    return [dict(zip(block, choice)) for choice in itertools.product(*options)]


def _known(what: str, names: list[Any], registered: list[Any]) -> None:
    for name in names:
        if name not in registered:
            raise ValueError(f"{what}: expected one of {registered}, got {name!r}")


def _explain(error: Any) -> str:
    key = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        return f"{key}: unknown key"
    if error["type"] == "value_error":
        return f"{key}: {error['ctx']['error']}" if key else str(error["ctx"]["error"])
    found = "" if error["type"] == "missing" else f", got {repr(error['input'])[:_LONGEST]}"
    return f"{key[:_LONGEST]}: {said(error['msg'])}{found}"
