"""What came out, in sentences; every number in them comes from the study's tables."""

import itertools

import numpy as np
import pandas as pd

from ncf.evaluation.hypergeometric import SAMPLED
from ncf.report.clamped import Change, changes
from ncf.report.figures.effects import row_name
from ncf.report.figures.grid import surface
from ncf.report.flips import flips
from ncf.report.naming import label, metric_name, number
from ncf.report.study import Study, contrast_name
from ncf.report.tables import p_value, percents
from ncf.study import Verdict
from ncf.study.verdict import JudgedComparison

_ANSWERS = {
    "supported": "Yes, as far as was registered",
    "refuted": "No, not as registered",
    "inconclusive": "Not shown",
}


def headline(study: Study) -> str:
    """The answer in one line: the first hypothesis, which is the question itself, then every outcome."""
    first = study.verdicts[0]
    undecided = first.outcome == "inconclusive" and any(f.finding == "incomplete" for f in first.comparisons)
    answer = "Not decided yet" if undecided else _ANSWERS[first.outcome]
    by_outcome: dict[str, list[str]] = {}
    for v in study.verdicts:
        by_outcome.setdefault(v.outcome, []).append(v.hypothesis)
    outcomes = [f"{listed(names)} {'is' if len(names) == 1 else 'are'} {o}" for o, names in by_outcome.items()]
    return f"{answer}: {listed(outcomes)}."


def listed(words: list[str]) -> str:
    """A, B and C."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def background() -> str:
    """What a reader who is new to the question needs."""
    return (
        "NeuMF learns what a user would like from items that the user liked (positives) and, for each, r drawn others "
        "(negatives, 1:r). BCE is its usual loss; α-BCE weighs the two classes; focal loss also counts examples less "
        "that are already well fitted, the more so the higher γ."
    )


def in_short(study: Study) -> list[str]:
    """What the first hypothesis' comparisons measured, in the primary metric; empty if none has runs enough."""
    own = [f for f in study.verdicts[0].comparisons if f.compared.metric == study.primary and f.result]
    if not own:
        return []
    claim = own[0].compared.claim
    lines = [f"{change(f)} at {where(f)}{' so far' if f.missing else ''}" for f in own]
    name = contrast_name(study, claim.treatment, claim.baseline)
    return [f"Change of {metric_name(study.primary)}, {name}: {listed(lines)}."]


def contrast(study: Study, finished: JudgedComparison) -> str:
    """Which two arms, in which metric."""
    claim = finished.compared.claim
    metric = metric_name(finished.compared.metric).removeprefix("test ")
    return f"{contrast_name(study, claim.treatment, claim.baseline)}, {metric}"


def where(finished: JudgedComparison) -> str:
    """The ratio, or that a gain is to grow over all of them."""
    ratios = finished.compared.ratios
    return f"1:{ratios[0]}" if len(ratios) == 1 else "growth"


def change(finished: JudgedComparison) -> str:
    """The relative change with its interval, empty without runs."""
    return percents(finished.result.effects["relative_change"]) if finished.result else ""


def progress(study: Study) -> str:
    """How much of the registered study there is."""
    finished, total = study.finished
    if finished == total:
        return f"All {total} registered runs are finished."
    return f"{finished} of {total} registered runs are finished; what rests on missing ones is called incomplete."


def reason(verdict: Verdict) -> str:
    """Why a hypothesis has its outcome: the rule and what its comparisons found."""
    return f"{verdict.hypothesis} {verdict.reason}."


def finding(study: Study, finished: JudgedComparison) -> str:
    """One comparison in a line: "focal vs BCE, 1:10, NDCG@10: 0.0601 against 0.0590, +1.9% [...], ..."."""
    name = row_name(study, finished.compared)
    if finished.result is None:
        return f"{name}: not enough runs yet"
    r = finished.result
    tail = "incomplete" if finished.missing else f"corrected p {p_value(finished.p)}, {finished.finding}"
    return (
        f"{name}: {r.treatment_mean:.4f} against {r.baseline_mean:.4f}, {percents(r.effects['relative_change'])}, "
        f"{r.seeds} seeds, {tail}"
    )


def surprises(study: Study) -> list[str]:
    """What a reader may not have expected, where the tables have it; empty if they hold too little."""
    return [*_against(study), *_noise(study), *_best_cells(study), *_flipped(study)]


def _against(study: Study) -> list[str]:
    worse = [f for f in study.comparisons().values() if f.finding == "worse"]
    if not worse:
        return []
    return [
        f"Against its claim, the treatment is worse in {len(worse)}: {'; '.join(finding(study, f) for f in worse)}."
    ]


def _noise(study: Study) -> list[str]:
    name = study.contrasts[0][1]
    arm, lines = study.registration.arms[name], []
    for ratio in study.ratios:
        values = study.values(arm, ratio, study.primary).to_numpy()
        if len(values) < 2:
            continue
        pairs = np.array(list(itertools.combinations(values, 2)))
        apart = (np.abs(pairs[:, 0] - pairs[:, 1]) > study.registration.smallest_effect * values.mean()).mean()
        lines.append(f"{values.std(ddof=1) / values.mean():.1%} of its mean at 1:{ratio} ({apart:.0%})")
    if not lines:
        return []
    return [
        f"Between runs of {label(arm)} that differ in nothing but the seed, the standard deviation of "
        f"{metric_name(study.primary)} is {', '.join(lines)}; in brackets, the pairs of runs that lie further apart "
        f"than the smallest effect of interest, {study.registration.smallest_effect:.0%}."
    ]


def _best_cells(study: Study) -> list[str]:
    lines = []
    for ratio in study.ratios:
        found = surface(study, ratio)
        if found is None:
            continue
        _, change, _ = found
        arms = study.arms_of("grid")
        gammas, alphas = (list(dict.fromkeys(arm[key] for arm in arms)) for key in ("gamma", "alpha"))
        row, column = np.unravel_index(np.nanargmax(change), change.shape)
        count = study.registration.grids["grid"].seeds[ratio]
        lines.append(
            f"γ {number(gammas[row])}, α {number(alphas[column])} at 1:{ratio} "
            f"({change[row, column]:+.1%} against BCE, {count} seeds)"
        )
    return [f"The best cells of the γ × α grid, picked after the fact: {'; '.join(lines)}."] if lines else []


def _flipped(study: Study) -> list[str]:
    counted = [(ratio, flips(study, ratio)) for ratio in study.ratios]
    lines = [f"{c.flipped} of {c.pairs} at 1:{r}" for r, c in counted if c.pairs]
    if not lines:
        return []
    return [
        f"Ranked among {SAMPLED} sampled negatives, pairs of runs with one seed and different losses change order: "
        f"{', '.join(lines)}."
    ]


def mistake(study: Study) -> list[str]:
    """A line a ratio and loss: the primary metric on clamped logits against as defined, and who never learned."""
    return [f"{label(c.right)} at 1:{c.ratio}: {_changed(c)}" for c in changes(study) if c.metric == study.primary]


def _changed(change: Change) -> str:
    r = change.every
    every = f"{r.treatment_mean:.4f} against {r.baseline_mean:.4f}, {percents(r.effects['relative_change'])}"
    if not change.dead:
        return f"{every}, {r.seeds} seeds"
    others = f"the other {r.seeds - change.dead}: {change.others}; " if change.others else ""
    return f"{change.dead} of {r.seeds} runs never learned; {others}all {r.seeds}: {every}"


def detectable(study: Study) -> list[str]:
    """By ratio, the smallest change that the registered design sees with the registered power; empty without pilot."""
    table = pd.DataFrame(
        [(int(p.comparison.rpartition(", 1:")[2]), p.seeds, p.prospect.detectable) for p in study.plans if p.prospect],
        columns=["ratio", "seeds", "detectable"],
    )
    return [
        f"1:{ratio} ({rows['seeds'].iloc[0]} seeds): {rows['detectable'].min():.1%} to {rows['detectable'].max():.1%}"
        for ratio, rows in sorted(table.groupby("ratio"))
    ]


def registered_as(study: Study) -> str:
    """Whether the runs were made under this very registration."""
    sha, carried = study.registration.sha256, study.runs["registration"].fillna("none").unique().tolist()
    if carried == [sha]:
        return f"Every run carries the SHA-256 of this registration, {sha}."
    return (
        f"The registration's SHA-256 is {sha}; the runs carry {', '.join(carried)}. What was changed "
        "after its runs began is exploratory."
    )


def design(study: Study) -> str:
    """The design in two sentences."""
    registration = study.registration
    settings = study.protocol.get("settings", {})
    where = f" on {settings['data.name']}" if "data.name" in settings else ""
    seeds = ", ".join(f"{len(registration.seeds_at(r))} at 1:{r}" for r in study.ratios)
    return (
        f"Runs{where} are paired by seed ({seeds}). Each comparison is an exact two-sided Wilcoxon signed-rank test, "
        f"{registration.correction.capitalize()}-corrected within its hypothesis at {registration.alpha:g}; changes "
        f"within ±{registration.smallest_effect:.0%} count as too small to matter."
    )


def limits(study: Study) -> list[str]:
    """What the study cannot say."""
    settings = study.protocol.get("settings", {})
    batch = f" of {settings['trainer.batch_size']} rows" if "trainer.batch_size" in settings else ""
    return [
        "One data set, one split, one model, one set of hyperparameters, the same for every loss; none was tuned.",
        f"A batch{batch} holds positives and negatives together, so a higher ratio also buys more optimiser steps: "
        "compare losses within a ratio; what differs between ratios is not imbalance alone.",
        "Tests over seeds speak of training noise on these users; the report has intervals over seeds and users too.",
        "A comparison that is undecided is not shown to be without effect; only an equivalent one is.",
        *_several_commits(study),
    ]


def _several_commits(study: Study) -> list[str]:
    counts = study.runs["commit"].fillna("unknown").value_counts()
    if len(counts) < 2:
        return []
    each = ", ".join(f"{count} at {commit[:12]}" for commit, count in counts.items())
    return [f"The runs were made at {len(counts)} commits ({each}); the changelog says what moved between them."]


def provenance(study: Study) -> list[str]:
    """Data, code and settings behind the runs."""
    facts, commits = study.protocol, sorted(study.runs["commit"].fillna("unknown").unique())
    if not facts:
        return []
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    settings = ", ".join(f"{key}={value}" for key, value in facts["settings"].items())
    return [
        f"Data digest {', '.join(study.runs['data_digest'].unique())}. Commits: {', '.join(commits)}.",
        f"Versions: {versions}, on {facts['machine']}.",
        f"Settings that all runs share: {settings}.",
    ]
