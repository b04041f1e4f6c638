"""The tables of a report; each is text, ready to print."""

from collections.abc import Callable

import pandas as pd

from ncf.report.clamped import changes
from ncf.report.figures.effects import row_name
from ncf.report.figures.training import DYNAMICS
from ncf.report.flips import flips
from ncf.report.markup import Table
from ncf.report.naming import GRID_NAMES, label, metric_name
from ncf.report.study import EXPERIMENT, SWEEP, NotRunError, Study
from ncf.stats.intervals import Interval
from ncf.stats.power import smallest_p
from ncf.study.registration import Value, resolved

ALPHAS = (0.25, 0.5, 0.75)


def results(study: Study) -> Table:
    """Mean and standard deviation of every arm at every ratio."""
    metrics = study.registration.metrics
    arms = {**study.registration.arms, **{label(arm): arm for arm in study.arms_of("clamped")}}
    rows = []
    for ratio in study.ratios:
        for arm in arms.values():
            values = [study.values(arm, ratio, metric) for metric in metrics]
            if len(values[0]):
                epoch = study.values(arm, ratio, "best_epoch").median()
                rows.append([f"1:{ratio}", label(arm), f"{len(values[0])}", *map(mean_sd, values), f"{epoch:g}"])
    if not rows:
        raise NotRunError("no registered run", SWEEP)
    note = "Mean ± standard deviation over seeds; the epoch that validation selected, median over seeds."
    return Table("Results", ["negatives", "loss", "seeds", *map(metric_name, metrics), "epoch"], rows, note)


def comparisons(study: Study) -> Table:
    """Every registered comparison with what its finding rests on."""
    rows = []
    for v in study.verdicts:
        for f in v.comparisons:
            name = [v.hypothesis, row_name(study, f.compared)]
            if f.result is None:
                rows.append([*name, "", "", "", "", "", "", "", f.finding])
                continue
            r, whole = f.result, not f.missing
            rows.append(
                [*name, f"{r.seeds}", f"{r.baseline_mean:.4f}", f"{r.treatment_mean:.4f}",
                 percents(r.effects["relative_change"]), p_value(r.wilcoxon.p), p_value(f.p) if whole else "",
                 p_value(f.p_equivalent) if whole else "", f.finding]
            )  # fmt: skip
    header = [
        "",
        "comparison",
        "seeds",
        "baseline",
        "treatment",
        "change",
        "p",
        "corrected p",
        "equivalence p",
        "finding",
    ]
    correction, level = study.registration.correction.capitalize(), study.registration.interval_level
    note = (
        f"Change: relative, with a {level:.0%} bootstrap interval (BCa) over paired seeds. p: exact two-sided Wilcoxon "
        f"signed-rank. Corrected p and equivalence p (two one-sided t tests against "
        f"±{study.registration.smallest_effect:.0%}): {correction} within the hypothesis. Growth: the treatment is the "
        "baseline's mean over ratios plus the growth of the fitted gain. Incomplete: registered seeds are missing."
    )
    return Table("Registered comparisons", header, rows, note)


def effects(study: Study) -> Table:
    """Effect sizes and the other tests of each registered comparison, each once."""
    found = {**study.comparisons("higher"), **study.comparisons("grows")}
    rows = [
        [row_name(study, f.compared), f"{f.result.seeds}",
         *(numbers(f.result.effects[name]) for name in ("cohen_dz", "rank_biserial", "cliff_delta")),
         p_value(f.result.sign.p), p_value(f.result.t.p)]
        for f in found.values() if f.result
    ]  # fmt: skip
    if not rows:
        raise NotRunError("no registered comparison has three seeds in both arms", SWEEP)
    header = ["comparison", "seeds", "Cohen's d_z", "rank-biserial r", "Cliff's δ", "sign test p", "t test p"]
    return Table(
        "Effect sizes",
        header,
        rows,
        f"With {study.registration.interval_level:.0%} bootstrap intervals; p not corrected.",
    )


def design(study: Study) -> Table:
    """What the registered design can and cannot show."""
    rows = []
    compared = [c for hypothesis in study.registration.hypotheses.values() for c in hypothesis.comparisons()]
    for plan, c in zip(study.plans, compared, strict=True):
        claim = [plan.hypothesis, row_name(study, c), f"{plan.seeds}", p_value(plan.smallest_p), p_value(plan.level)]
        if plan.prospect is None:
            rows.append([*claim, "no pilot", "", ""])
        else:
            p = plan.prospect
            rows.append([*claim, f"{p.detectable:.1%}", f"{p.power:.0%}", f"{p.seeds_needed}"])
    margin = f"{study.registration.smallest_effect:.0%}"
    header = [
        "",
        "comparison",
        "seeds",
        "smallest p",
        "level",
        "detectable",
        f"power at {margin}",
        f"seeds for {margin}",
    ]
    note = (
        "Smallest p: what that many seeds can reach, against the corrected level. Detectable: the relative change seen "
        f"with {study.registration.power:.0%} power, given the pilot's spread."
    )
    return Table("What the design can show", header, rows, note)


def alpha_ratio(study: Study) -> Table:
    """The effective negative:positive weight of each alpha at each ratio."""
    alphas: list[Value] = [*ALPHAS, "balanced"]
    rows = []
    for ratio in study.ratios:
        values = [float(resolved(alpha, ratio)) for alpha in alphas]
        rows.append([f"1:{ratio}", f"{values[-1]:.3f}", *(f"{(1 - a) * ratio / a:.2f}" for a in values)])
    header = ["negatives", "balanced α", *(f"α {a}" for a in alphas)]
    note = (
        "The weight of all negatives of a positive over the positive's own, (1 − α) r / α; balanced is α = r / (r + 1)."
    )
    return Table("What α weighs at each ratio", header, rows, note)


def clamped(study: Study) -> Table:
    """Each loss against what the published code made of it."""
    found = list(changes(study))
    if not found:
        raise NotRunError("the published code's loss on clamped logits", EXPERIMENT.format("clamped"))
    rows = [
        [f"1:{c.ratio}", label(c.right), metric_name(c.metric), f"{c.every.seeds}", f"{c.every.baseline_mean:.4f}",
         f"{c.every.treatment_mean:.4f}", percents(c.every.effects["relative_change"]), p_value(c.every.wilcoxon.p),
         "not known" if c.learned is None else f"{c.dead}", c.others]
        for c in found
    ]  # fmt: skip
    header = ["negatives", "loss", "metric", "seeds", "as defined", "clamped", "change", "p", "dead", "others"]
    fewest = min(c.every.seeds for c in found)
    note = (
        "Change: of the loss on clamped logits over the same loss as defined, same seeds, with its bootstrap interval. "
        f"p: exact Wilcoxon, not corrected, no registered test; {fewest} pairs cannot give less than "
        f"{p_value(smallest_p(fewest))}. Dead: clamped runs that never learned, whose validation metric and training "
        "loss are the same in every epoch: each of their first logits was at or below 0, where the clamp passes no "
        "gradient. Others: the clamped runs that learned, against those as defined with the same seeds."
    )
    return Table("What the published code's mistake changed", header, rows, note)


def users(study: Study) -> Table:
    """Seeds alone beside seeds and users together."""
    table = study.companion("users", "the ranks of the runs: a report from run folders uses them")
    found = study.comparisons()
    rows = []
    for row in table.to_dict("records"):
        f = found.get((row["treatment"], row["baseline"], row["metric"], (int(row["neg_ratio"]),)))
        if f is None or f.result is None:
            continue
        both = f"{row['change']:+.1%} [{row['change_low']:+.1%}, {row['change_high']:+.1%}]"
        rows.append(
            [row_name(study, f.compared), f"{row['seeds']:.0f}", percents(f.result.effects["relative_change"]), both,
             f"{row['users_better']:.0f} / {row['users_worse']:.0f} of {row['users']:.0f}", p_value(row["p_ranks"])]
        )  # fmt: skip
    header = ["comparison", "seeds", "change, seeds", "change, seeds and users", "users better / worse", "p over users"]
    note = (
        "Seeds alone ignore that the users are a sample; the two-level bootstrap draws seeds and users together. "
        "Better and worse, and p (Wilcoxon, paired by user): of the user's rank, mean over seeds."
    )
    return Table("Do the users agree?", header, rows, note)


def attention(study: Study) -> Table:
    """What each loss attends to at the selected epoch."""
    table = study.joined(study.companion("selected", "no run has recorded its dynamics", DYNAMICS))
    rows = []
    for ratio in study.ratios:
        for arm in study.registration.arms.values():
            found = {c: study.values(arm, ratio, c, table) for c in _SELECTED}
            if len(found["ece"]):
                v = {c: float(values.mean()) for c, values in found.items()}
                shares = [v[f"{k}_effective_sample_size"] / v[f"{k}_rows"] for k in ("positive", "negative")]
                rows.append(
                    [f"1:{ratio}", label(arm), f"{len(found['ece'])}", f"{v['positive_confidence']:.3f}",
                     f"{v['negative_confidence']:.3f}", *(f"{s:.0%}" for s in shares), f"{v['held_out_rate']:.3%}",
                     f"{v['held_out_weight']:.3f}", f"{v['held_out_weight_of_others']:.3f}", f"{v['ece']:.3f}"]
                )  # fmt: skip
    header = [
        "negatives", "loss", "seeds", "p_t positives", "p_t negatives", "effective positives", "effective negatives",
        "held out drawn", "their weight", "others' weight", "ECE",
    ]  # fmt: skip
    note = (
        "At the selected epoch, means over seeds. Effective: (sum w)² / sum w² of the weights over the rows. Held out: "
        "how often a negative was the user's validation positive, and the mean weight it got beside other negatives."
    )
    return Table("What the loss attends to", header, rows, note)


_SELECTED = (
    "positive_rows", "negative_rows", "positive_confidence", "negative_confidence", "positive_effective_sample_size",
    "negative_effective_sample_size", "held_out_rate", "held_out_weight", "held_out_weight_of_others", "ece",
)  # fmt: skip


def protocols(study: Study) -> Table:
    """How often sampled ranking turns a comparison round."""
    counted = [(ratio, flips(study, ratio)) for ratio in study.ratios]
    rows = [[f"1:{r}", f"{c.pairs}", f"{c.flipped}", f"{c.flipped / c.pairs:.0%}"] for r, c in counted if c.pairs]
    if not rows:
        raise NotRunError("the ranks of the runs: a report from run folders uses them", SWEEP)
    note = (
        "Pairs of runs with one seed and different losses, by full ranking and among 99 sampled negatives (expected)."
    )
    return Table("Sampled against full ranking", ["negatives", "pairs", "flipped", "share"], rows, note)


def missing(study: Study) -> Table:
    """The registered runs that are not there."""
    lacking = [m for m in study.missing if m.missing]
    rows = [
        [GRID_NAMES.get(m.grid, m.grid), f"1:{m.ratio}", f"{m.registered - m.missing} of {m.registered}",
         seeds_text(m.seeds), EXPERIMENT.format(m.grid) if m.grid in ("grid", "clamped") else SWEEP]
        for m in lacking
    ]  # fmt: skip
    note = f"{SWEEP} runs all that is missing, and nothing twice." if rows else "Every registered run is there."
    return Table("What is missing", ["part", "negatives", "finished", "seeds that lack a run", "command"], rows, note)


TABLES: dict[str, Callable[[Study], Table]] = {
    "results": results,
    "comparisons": comparisons,
    "effects": effects,
    "design": design,
    "users": users,
    "clamped": clamped,
    "attention": attention,
    "protocols": protocols,
    "alpha_ratio": alpha_ratio,
    "missing": missing,
}


def mean_sd(values: pd.Series) -> str:
    """0.0612 ± 0.0034; one value alone has no spread."""
    return f"{values.mean():.4f} ± {values.std(ddof=1):.4f}" if len(values) > 1 else f"{values.mean():.4f}"


def p_value(p: float) -> str:
    """Two significant digits, or how small it is."""
    return f"{p:.2g}" if p >= 1e-4 else f"{p:.0e}"


def percents(interval: Interval) -> str:
    """+1.9% [-2.0%, +5.8%]"""
    return f"{interval.estimate:+.1%} [{interval.low:+.1%}, {interval.high:+.1%}]"


def numbers(interval: Interval) -> str:
    """+0.19 [-0.20, +0.58]"""
    return f"{interval.estimate:+.2f} [{interval.low:+.2f}, {interval.high:+.2f}]"


def seeds_text(seeds: tuple[int, ...]) -> str:
    """42 to 71, 80: runs of consecutive seeds drawn together."""
    runs: list[list[int]] = []
    for seed in seeds:
        if runs and seed == runs[-1][1] + 1:
            runs[-1][1] = seed
        else:
            runs.append([seed, seed])
    return ", ".join(f"{a}" if a == b else f"{a} to {b}" for a, b in runs)
