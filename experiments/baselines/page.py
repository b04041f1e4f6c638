"""README.md and its figures, from the CSV files beside it and the tuned settings."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import comb
from pathlib import Path

import matplotlib
import pandas as pd
from omegaconf import OmegaConf

from experiments.baselines import figures, halving, order, published
from experiments.baselines.arms import ARMS, HERE, METRICS, NAMES, REFERENCES, RETUNED, TUNED, Arm
from experiments.baselines.comparisons import P_VALUES, best_baseline, corrected, p_text, reference
from experiments.baselines.rankings import RANKINGS
from experiments.tuned_losses.table import read as read_rows
from ncf.core.config import flatten
from ncf.core.files import write_text
from ncf.errors import DataError
from ncf.report.kit.markup import Table
from ncf.report.kit.style import RC, save

LEVEL = 0.05  # of a corrected p
_CLOCK = (
    "Minutes are of processor time for models trained by gradient and by the clock for the others, on a core that "
    "other work at times disturbed: no measure of the models. The value is that of the best trial, or for models "
    "trained by gradient the mean of the refits."
)


@dataclass(frozen=True)
class Study:
    """The tables of the CSV files; `compared` and `pairs` have Holm's correction applied.

    Attributes:
        best: the best baseline.
        reference: the NeuMF that all others are tested against.
    """

    results: pd.DataFrame
    intervals: pd.DataFrame
    compared: pd.DataFrame
    tuning: pd.DataFrame
    published: pd.DataFrame
    pairs: pd.DataFrame
    best: str
    reference: str

    @property
    def means(self) -> pd.DataFrame:
        """By arm, the best in test NDCG@10 first."""
        columns = [f"{part}/{metric}" for part in ("valid", "test") for metric in METRICS]
        return self.results.groupby("arm")[columns].mean().sort_values(f"test/{METRICS[0]}", ascending=False)


def read(folder: Path = HERE) -> Study:
    """The study that the CSV files of `folder` hold. Raises DataError for one that is missing, damaged or not whole."""
    tables = {name: _table(folder / f"{name}.csv", *own) for name, own in companions().items()}
    tables["compared"] = corrected(tables.pop("comparisons"))
    tables["pairs"] = corrected(tables["pairs"], order.FAMILY)
    chosen = {"best": best_baseline(tables["results"]), "reference": reference(tables["results"])}
    return Study(**tables, **chosen)


def companions() -> dict[str, tuple[list[str], int]]:
    """By the name of a CSV file: the columns that tell its rows apart, and how many rows it has."""
    models = len(published.reference()["models"])
    measured, pairs = 2 * len(RANKINGS), len(METRICS) * comb(models, 2)
    return {
        "results": (["arm", "seed"], sum(len(arm.seeds) for arm in ARMS.values())),
        "intervals": (["arm", "metric"], len(ARMS) * len(METRICS)),
        "comparisons": (["metric", "against", "arm"], 2 * (len(ARMS) - 1) * len(METRICS)),
        "tuning": (["arm"], len(ARMS) + len(RETUNED)),
        "published": (["settings", "ranking", "arm"], measured * models),
        "pairs": ([*order.FAMILY, "winner", "loser"], measured * pairs),
    }


def _table(path: Path, keys: list[str], count: int) -> pd.DataFrame:
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: expected a table: {' '.join(str(error).split())}") from None
    if missing := [key for key in keys if key not in table.columns]:
        raise DataError(f"{path}: expected the columns {', '.join(keys)}, found no {', '.join(missing)}")
    if len(table) != count or table[keys].duplicated().any():
        raise DataError(f"{path}: expected {count} rows, each {' and '.join(keys)} once, found {len(table)}")
    shares = ("difference", "low", "high", "p_both", "p_seeds")
    for column in [column for column in table.columns if "@" in column or column in shares]:
        known = table[column].dropna() if column == "p_seeds" else table[column]  # none between models without seeds
        if not known.between(-1, 1).all():
            raise DataError(f"{path}: expected {column} in [-1, 1]")
    return table


def write(study: Study, folder: Path = HERE) -> None:
    """README.md and figures/ in `folder`; the same study gives the same bytes."""
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(RC):
        save(figures.who_wins(study.results, study.intervals), folder / "figures", "models")
        save(figures.against_neumf(study.results, study.compared, study.reference), folder / "figures", "differences")
    write_text(folder / "README.md", text(study))


def text(study: Study) -> str:
    """The page, as Markdown."""
    template = (HERE / "page.md").read_text()
    best = ARMS[study.best].title
    parts = {
        "verdict": verdict(study),
        "not_drawn": not_drawn(study),
        "models": models(study).markdown(),
        "against_neumf": against(study, study.reference).markdown(),
        "reference": ARMS[study.reference].title,
        "default": default(study),
        "commits": commits(study),
        "tuning_commits": tuning_commits(),
        "against_best": against(study, study.best).markdown(),
        "best": best,
        "budget": budget(study, ARMS.values()),
        "procedure": procedure(),
        "settings": settings(study, [a for a in ARMS.values() if a.tuned], "What tuning chose").markdown(),
        "found": halved().markdown(),
        "retuned": settings(study, RETUNED.values(), "What tuning chose for the published protocol").markdown(),
        "rebudget": budget(study, RETUNED.values()),
        "order": order.verdict(study.published, study.pairs),
        "published": order.values(study.published).markdown(),
        "agreement": order.agreement(study.published, study.pairs),
        "turned": order.turned(study.published, study.pairs).markdown(),
        "explanation": order.explanation(study.published, study.pairs),
    }
    for name, part in parts.items():
        template = template.replace(f"<!-- {name} -->", part)
    return template


def verdict(study: Study) -> str:
    """Who wins, in a few sentences."""
    means, first = study.means, str(study.means.index[0])
    value = means[f"test/{METRICS[0]}"]
    place = list(means.index).index(study.reference) + 1
    return (
        f"**{_answer(study)} {ARMS[first].title} ranks best**, with a test NDCG@10 of {value[first]:.4f}; "
        f"{ARMS[study.reference].title}, has {value[study.reference]:.4f} and is number {place} of {len(means)}. The "
        f"best baseline by validation is {ARMS[study.best].title}, with {value[study.best]:.4f} on test.\n\n- For "
        "other users like these, and the chosen settings trained again, better than NeuMF: "
        f"{_differ(study, 'p_both', 1)}. Worse: {_differ(study, 'p_both', -1)}.\n- On these very users, beyond the "
        f"noise of training, better: {_differ(study, 'p_seeds', 1)}. Worse: {_differ(study, 'p_seeds', -1)}.\n\nIn "
        f"NDCG@10, at a corrected p of {LEVEL}; what is named in neither place is undecided, not equal."
    )


def _answer(study: Study) -> str:
    """The question's answer: whether NeuMF and the best baseline can be told apart, over seeds and users."""
    table = study.compared
    own = (table["metric"] == METRICS[0]) & (table["against"] == study.reference) & (table["arm"] == study.best)
    row = table[own].iloc[0]
    if row["p_both"] > LEVEL:
        return "That is not shown, nor the opposite."
    return "No." if row["difference"] > 0 else "Yes."


def _differ(study: Study, column: str, sign: int) -> str:
    table = study.compared
    rows = table[(table["metric"] == METRICS[0]) & (table["against"] == study.reference) & (table[column] <= LEVEL)]
    found = rows[rows["difference"] * sign > 0].sort_values("difference", ascending=sign < 0)
    return ", ".join(ARMS[name].title for name in found["arm"]) or "none"


def default(study: Study) -> str:
    """What tuning NeuMF did for it, on validation over all seeds, and which settings the page goes on with."""
    validation = study.means[f"valid/{METRICS[0]}"]
    tuned, plain = (float(validation[name]) for name in REFERENCES)
    seeds = len(ARMS[REFERENCES[0]].seeds)
    said = (
        f"Over its {seeds} seeds, tuned NeuMF has a mean validation NDCG@10 of {tuned:.4f}, and with its default "
        f"settings, which nobody tuned, {plain:.4f}."
    )
    if plain > tuned:
        said += " Tuning did not improve it."
    chosen = "default" if study.reference == REFERENCES[1] else "tuned"
    return f"{said} All models are tested against the better of the two on validation, the {chosen} one."


def commits(study: Study) -> str:
    """Which code the runs came from, and whether it was committed."""
    counts = study.results["commit"].value_counts()
    dirty = int(counts[counts.index.str.endswith("-dirty")].sum())
    named = ", ".join(f"{count} from {commit[:12]}" for commit, count in counts.items())
    state = f"{dirty} of them from a tree with changes that were not committed" if dirty else "all from clean trees"
    return f"{len(study.results)} runs: {named}; {state}."


def tuning_commits(folder: Path = halving.ROWS) -> str:
    """Which code the runs of tuning came from."""
    rows = [row for path in sorted(folder.iterdir()) for row in read_rows(path)]
    dirty = sum(row.commit.endswith("-dirty") for row in rows)
    marked = (
        f"; {dirty} are marked as of a tree with changes. Tuning itself writes into the tree, the settings of the "
        "models that it is done with; that nothing else had changed was not recorded"
    )
    return f"{len(rows)} runs of tuning{marked if dirty else ', all from clean trees'}."


def not_drawn(study: Study) -> str:
    """The models that are off the figures' scale."""
    value = study.means[f"test/{METRICS[0]}"]
    left_out = [name for name in value.index if name not in figures.drawn(study.results)]
    named = ", ".join(f"{ARMS[name].title} ({value[name]:.4f})" for name in left_out)
    return f"Far below all others, and not drawn: {named}." if named else ""


def models(study: Study) -> Table:
    """Means, intervals, and how far seeds spread."""
    bounds = study.intervals.set_index(["arm", "metric"])
    spread = study.results.groupby("arm")[f"test/{METRICS[0]}"].std()
    rows: list[list[str]] = []
    for name, mean in study.means.iterrows():
        cells = [
            f"{mean[f'test/{metric}']:.4f} [{bounds.loc[(name, metric), 'low']:.4f}, "
            f"{bounds.loc[(name, metric), 'high']:.4f}]"
            for metric in METRICS
        ]
        seeds = len(ARMS[str(name)].seeds)
        noise = f"{spread[name]:.4f}" if seeds > 1 else "none"
        rows.append([ARMS[str(name)].title, *cells, f"{mean[f'valid/{METRICS[0]}']:.4f}", str(seeds), noise])
    header = ["model", "test NDCG@10", "test HR@10", "validation NDCG@10", "seeds", "standard deviation over seeds"]
    note = (
        "Mean over seeds; in brackets its 95% interval over seeds and users, each by itself: two that overlap may "
        "differ. Standard deviation of test NDCG@10."
    )
    return Table("Every model", header, rows, note)


def against(study: Study, opponent: str) -> Table:
    """The other models' differences from `opponent`, with both tests."""
    table = study.compared
    rows = []
    for metric in METRICS:
        chosen = table[(table["metric"] == metric) & (table["against"] == opponent)]
        for row in chosen.sort_values("difference", ascending=False).to_dict("records"):
            verdict = "undecided" if row["p_both"] > LEVEL else "better" if row["difference"] > 0 else "worse"
            change = f"{row['difference']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}]"
            tests = ["" if pd.isna(row[p]) else p_text(row[p]) for p in P_VALUES]
            rows.append([NAMES[metric], ARMS[row["arm"]].title, change, f"{row['relative']:+.1%}", *tests, verdict])
    header = ["test metric", "model", "difference", "relative", "p over seeds and users", "p over seeds", "finding"]
    note = (
        f"p corrected by Holm over the {len(ARMS) - 1} comparisons of a metric, intervals not: one may lie beside 0 "
        "and the finding, which rests on the corrected p over seeds and users, be undecided."
    )
    return Table(f"Against {ARMS[opponent].title}", header, rows, note)


def budget(study: Study, arms: Iterable[Arm]) -> str:
    """What the tuning of `arms` was allowed, and what it took."""
    names = [arm.name for arm in arms]
    tuned = study.tuning[(study.tuning["trials"] > 0) & study.tuning["arm"].isin(names)]
    least, most = int(tuned["trials"].min()), int(tuned["trials"].max())
    trials = f"{most} configurations" if least == most else f"{least} to {most} configurations"
    minutes = f"{tuned['seconds'].sum() / 60:.0f} minutes for all of them on one core"
    return f"{trials} a model, {minutes} (without the earlier trials, see below)."


def procedure() -> str:
    """How the configurations are tried and chosen from."""
    rules = halving.rules()
    first, *rest = (f"{rung['configurations']} for {rung['epochs']} epochs" for rung in rules["rungs"])
    return (
        f"Those of a model trained by gradient are drawn at random, {rules['draws']} times {first}; the best on "
        f"validation NDCG@10 go on, {', '.join(rest)}. The best of each draw is trained again with "
        f"{rules['refits']['runs']} fresh seeds, and so is what {rules['earlier_trials']} trials of Optuna's TPE on "
        "one seed had chosen before, without a choice of widths and dropout; the one with the best mean is chosen. "
        "Every run of the draws and refits is in [tuning](tuning); those of the earlier trials were not kept. "
        "The configurations of all other models, which have no epochs to be stopped after, are trials of Optuna's TPE "
        "with seed 42. Test is not read."
    )


def settings(study: Study, arms: Iterable[Arm], title: str) -> Table:
    """What tuning chose for `arms`, and what it took."""
    rows = []
    known = study.tuning.set_index("arm")
    for arm in arms:
        row = known.loc[arm.name]
        value = "" if pd.isna(row["value"]) else f"{row['value']:.4f}"
        cells = [str(int(row["trials"])), f"{row['seconds'] / 60:.1f}", value, ", ".join(_chosen(arm)) or "none"]
        rows.append([arm.title, f"`{arm.experiment}`", *cells])
    header = ["model", "experiment", "configurations", "minutes", "best validation NDCG@10", "settings"]
    return Table(title, header, rows, _CLOCK)


def halved() -> Table:
    """What each draw of halving came to beside the earlier choice, for the models trained by gradient."""
    rows, kept = [], 0
    arms = [arm for arm in (*ARMS.values(), *RETUNED.values()) if arm.name in halving.rules()["earlier"]]
    for arm in arms:
        *draws, earlier = halving.of_draws(arm.name)
        kept += earlier >= max(draws)
        chosen = "the earlier" if earlier >= max(draws) else "the best draw's"
        rows.append([arm.title, ", ".join(f"{value:.4f}" for value in draws), f"{earlier:.4f}", chosen])
    note = (
        f"Mean validation NDCG@10 of the refits. For {kept} of {len(arms)} models no draw of halving reached the "
        "earlier choice: one draw of successive halving is a small budget, and a first rung that short may favour "
        "what learns fast."
    )
    return Table("What halving found", ["model", "its draws", "the earlier choice", "chosen"], rows, note)


def _chosen(arm: Arm) -> Iterable[str]:
    body = OmegaConf.to_container(OmegaConf.load(TUNED / f"{arm.experiment}.yaml"), resolve=False)
    assert isinstance(body, dict)
    flat = flatten({str(key): value for key, value in body.items() if key not in ("hydra", "defaults")})
    fixed = [line.partition("=")[0] for line in arm.settings]
    shown = {key: value for key, value in flat.items() if key not in fixed and "pretrained_" not in key}
    return (f"`{key.partition('.')[2]}` {value}" for key, value in shown.items())
