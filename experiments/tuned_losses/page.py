# ruff: noqa: RUF001
"""README.md: from the registration and the committed rows alone; no value is shown before all blocks are there."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import pandas as pd

from experiments.tuned_losses import analysis, figures, planning, runner, secondary
from experiments.tuned_losses.analysis import Decided
from experiments.tuned_losses.bayes import Posterior, posterior
from experiments.tuned_losses.design import HERE, Contrast, Design, load
from experiments.tuned_losses.figures import NAMES
from experiments.tuned_losses.table import Row
from ncf.core.files import write_text
from ncf.report.kit.markup import Table
from ncf.report.kit.style import RC, save


def write(folder: Path = HERE, rows_in: Path = runner.RUNS) -> None:
    """Write README.md, configurations.csv and, once all blocks are there, figures: same rows, same bytes."""
    design = load()
    rows, todo = runner.registered(design, rows_in), runner.study(design, rows_in)
    blocks = len(todo.whole_blocks(rows))
    complete = blocks == design.blocks
    secondary.drawn(design).to_csv(folder / "configurations.csv", index=False)
    if complete:
        (folder / "figures").mkdir(parents=True, exist_ok=True)
        with matplotlib.rc_context(RC):
            values, picked = analysis.block_values(rows, design, design.monitor), secondary.chosen(rows, design)
            save(figures.blocks(values, analysis.decide(values, design), design), folder / "figures", "blocks")
            save(figures.budget(secondary.budget_curves(rows, design)), folder / "figures", "budget")
            save(figures.gamma(picked, secondary.by_gamma(rows, design), design), folder / "figures", "gamma")
    write_text(folder / "README.md", text(design, rows, blocks))


def text(design: Design, rows: Sequence[Row], blocks: int) -> str:
    """The page, as Markdown, with `blocks` of the registered blocks complete."""
    found = _results(design, rows) if blocks == design.blocks else _progress(design, blocks)
    return "\n".join([
        "<!-- Written by `python -m experiments.tuned_losses report` from the rows in runs/ and pilot/. -->",
        f"# {design.question}", "", found, _design(design), _prospects(design), _limits(), _again(),
    ])  # fmt: skip


def _progress(design: Design, blocks: int) -> str:
    return (
        f"**{blocks} of {design.blocks} blocks are finished.** Nothing is tested, and no value is shown, before all of "
        "them are.\n"
    )


def _results(design: Design, rows: Sequence[Row]) -> str:
    values = analysis.block_values(rows, design, design.monitor)
    decided = analysis.decide(values, design)
    return "\n".join([
        *(f"- **{sentence(d)}**" for d in decided), "",
        f"A change within ±{design.smallest_effect:.0%} counts as not worthwhile. That is MovieLens-100K, NeuMF and 4 "
        f"negatives a positive, on {design.blocks} sets of held-out positives. Tuned means the best of "
        f"{design.trials} random configurations by successive halving; the best that a loss can do may be more "
        f"([limits](#limits)). An interval of {design.interval_level:.0%} is not corrected for the {len(decided)} "
        "contrasts; decisions rest on "
        "the corrected p.", "",
        "![How far apart are the tuned losses, block by block?](figures/blocks.png)", "",
        contrasts(design, decided).markdown(),
        levels(design, rows).markdown(),
        sensitivity(design, rows, values).markdown(),
        _secondary(design, rows),
    ])  # fmt: skip


def sentence(d: Decided) -> str:
    """The decision on a contrast in words."""
    change = f"{d.result.relative:+.1%} [{d.result.low:+.1%}, {d.result.high:+.1%}]"
    how = {"is undecided": f"whether it helps or harms is undecided: {change}"}
    said = how.get(d.decision, f"it {d.decision}: {change}")
    treatment, baseline = NAMES[d.contrast.treatment], NAMES[d.contrast.baseline]
    return f"{treatment[0].upper()}{treatment[1:]} against {baseline}, both tuned: {said} in NDCG@10."


def _change(d: Decided) -> str:
    return f"{d.result.relative:+.2%} [{d.result.low:+.2%}, {d.result.high:+.2%}]"


def contrasts(design: Design, decided: Sequence[Decided]) -> Table:
    """The registered tests."""
    rows = [
        [
            figures.title(d.contrast), _change(d),
            f"{d.result.difference:+.5f} (± {d.result.error:.5f})", f"{d.p:.3g}", f"{d.p_equivalent:.3g}", d.decision,
        ]
        for d in decided
    ]  # fmt: skip
    header = ["contrast", "relative change", "difference (standard error)", "p", "p of equivalence", "decision"]
    note = (
        f"Over {design.blocks} blocks; variances corrected for their overlap (Nadeau and Bengio 2003), p by Holm over "
        f"the contrasts. Equivalence: the change lies within ±{design.smallest_effect:.0%}."
    )
    return Table("Test NDCG@10, the registered tests", header, rows, note)


def levels(design: Design, rows: Sequence[Row]) -> Table:
    """What the tuned arms reach."""
    metrics = [design.monitor, *design.secondary]
    values = [analysis.block_values(rows, design, metric) for metric in metrics]
    cells = [
        [NAMES[arm], *(f"{own[arm].mean():.4f} (± {own[arm].std():.4f})" for own in values)] for arm in design.arms
    ]
    note = f"Mean over the {design.blocks} blocks and, in brackets, the standard deviation between them."
    return Table("What the tuned losses reach", ["arm", *(f"test {NAMES[m]}" for m in metrics)], cells, note)


def sensitivity(design: Design, rows: Sequence[Row], values: pd.DataFrame) -> Table:
    """The Bayesian analysis."""
    cells = []
    for contrast in design.contrasts:
        p = bayesian(design, rows, values, contrast)
        cells.append([
            figures.title(contrast), f"{p.mean:+.2%} [{p.low:+.2%}, {p.high:+.2%}]",
            f"{p.above:.3f}", f"{p.within:.3f}", f"{p.below:.3f}", f"{p.between:.1%}",
        ])  # fmt: skip
    margin = f"{design.smallest_effect:.0%}"
    header = ["contrast", "posterior mean [95%]", f"P(above +{margin})", f"P(within ±{margin})", f"P(below -{margin})",
              "sd between blocks"]  # fmt: skip
    return Table(
        "Sensitivity: a Bayesian hierarchical model", header, cells, "It decides nothing; priors as registered."
    )


def bayesian(design: Design, rows: Sequence[Row], values: pd.DataFrame, contrast: Contrast) -> Posterior:
    """Return the posterior of a contrast, relative to the mean of its baseline."""
    level = values[contrast.baseline].mean()
    refits = analysis.refit_values(rows, design.monitor)
    variance = refits.groupby(["arm", "block", "draw"])["value"].agg(["var", "count"])
    noise = sum(
        float((variance.loc[arm, "var"].mean() / variance.loc[arm, "count"].mean()) / design.draws)
        for arm in (contrast.treatment, contrast.baseline)
    )
    differences = (values[contrast.treatment] - values[contrast.baseline]).to_numpy() / level
    return posterior(
        differences, noise / level**2, share=design.held_out_share, margin=design.smallest_effect,
        effect_sd=design.priors.effect_sd, block_sd=design.priors.block_sd,
    )  # fmt: skip


def _secondary(design: Design, rows: Sequence[Row]) -> str:
    parts = ["## Beside the registered tests", ""]
    for metric in design.secondary:
        decided = analysis.decide(analysis.block_values(rows, design, metric), design)
        cells = [[figures.title(d.contrast), _change(d)] for d in decided]
        note = f"Not tested; intervals of {design.interval_level:.0%}, each by itself."
        parts.append(Table(f"Test {NAMES[metric]}", ["contrast", "relative change"], cells, note).markdown())
    parts += [
        "![What does a larger tuning budget buy?](figures/budget.png)", "",
        "![Where does the optimum of γ lie?](figures/gamma.png)", "",
        *_choices(design, rows),
        f"- All runs took {sum(row.seconds for row in rows) / 3600:.1f} core-hours; {len(rows)} runs: "
        f"{_commits(rows)}.",
        "",
    ]  # fmt: skip
    return "\n".join(parts)


def _choices(design: Design, rows: Sequence[Row]) -> list[str]:
    """What tuning chose, and what γ changes by itself."""
    picked, alone = secondary.chosen(rows, design), secondary.by_gamma(rows, design)
    gamma, alpha = (picked.loc[picked["arm"] == "focal", f"loss.{key}"] for key in ("gamma", "alpha"))
    low, high = design.weights["gamma"]
    best, worst = alone.loc[alone["change"].idxmax()], alone.loc[alone["change"].idxmin()]
    return [
        f"- The γ that tuning chose: median {gamma.median():.2f}, quartiles {gamma.quantile(0.25):.2f} and "
        f"{gamma.quantile(0.75):.2f}, of draws that are uniform on [{low:g}, {high:g}]; below 1 in "
        f"{(gamma < 1).mean():.0%} of {len(gamma)} repetitions ({(1 - low) / (high - low):.0%} would be by chance). "
        f"Its α: median {alpha.median():.2f}.",
        f"- Right, exploratory: what γ adds on validation to α-BCE of the same settings, α and seed, in {len(alone)} "
        f"ranges of γ, with two standard errors over blocks. Most around γ = {best['gamma']:g} ({best['change']:+.1%} "
        f"± {2 * best['error']:.1%}), least around {worst['gamma']:g} ({worst['change']:+.1%} ± "
        f"{2 * worst['error']:.1%}).",
        f"- Refits that never learned, and were replaced: {int(picked['unlearned'].sum())} of "
        f"{sum(row.stage == 'refit' for row in rows)}. Draws left out for want of a value: "
        f"{design.blocks * design.draws - len(analysis.draw_values(rows, design, design.monitor))} of "
        f"{design.blocks * design.draws}.",
    ]  # fmt: skip


def _design(design: Design) -> str:
    rungs = ", ".join(f"{rung.configurations} for {rung.epochs} epochs" for rung in design.rungs)
    arms = ", ".join(NAMES[arm] for arm in design.arms)
    return "\n".join([
        "## Design", "",
        f"The unit is a repetition of the whole tuning procedure, [registered](preregistration.yaml) before the runs "
        f"(SHA-256 {design.sha256}). On each of {design.blocks} blocks, leave-one-out on MovieLens-100K as it was that "
        f"many positives of each user ago, every arm ({arms}) is tuned {design.draws} times with random configurations "
        f"that all arms share (learning rate, L2, batch size, embedding and layer sizes, dropout; and α; and γ), "
        f"by successive halving on validation NDCG@10: {rungs}. The best is trained again with {design.refits.runs} "
        "fresh seeds, whose test values are read once and averaged. NeuMF, 4 negatives a positive.", "",
        "A trial that fails counts as 0. A refit has learned if its validation value is at least "
        f"{design.refits.learned:g} of the best that tuning saw for it in the last rung; one that has not is not "
        f"tested and is replaced by a reserve seed, at most {design.refits.runs} times. So a value speaks of runs "
        "that learned. A draw of which an arm has no such refit is left out for all arms.", "",
    ])  # fmt: skip


def _prospects(design: Design) -> str:
    spread = planning.pilot_spread(design)
    rows = [
        [
            f"{p.effect:+.0%}" if p.effect else "none",
            f"{p.rest:.1%}",
            *(f"{own[kind]:.3f}" for kind in own),
            f"{p.any_error:.3f}",
        ]
        for p in planning.prospects(design, spread)
        for own in p.chances[:1]
    ]
    header = ["true effect", "spread of an arm on a block", "helps", "harms", "no worthwhile effect", "undecided",
              "helps or harms in any contrast"]  # fmt: skip
    note = (
        f"{figures.title(design.contrasts[0])}, simulated before the runs. The spread is the upper limit of the "
        f"pilot's ({spread.degrees} degrees of freedom) above, and what it was found to be below; to both the spread "
        "of users is added, from an earlier study. Blocks correlate as the correction takes them to: were it more, "
        "errors would be more frequent."
    )
    return "## What the design can show\n\n" + Table("Chances of each decision", header, rows, note).markdown()


def _commits(rows: Sequence[Row]) -> str:
    counts = pd.Series([row.commit for row in rows], dtype=object).value_counts()
    return ", ".join(f"{count} from {commit}" for commit, count in counts.items())


def _limits() -> str:
    return "\n".join([
        "## Limits", "",
        "- One data set, one model, one ratio of negatives; these users, whose older positives stand for other times.",
        "- The correction for overlap is a rule of thumb: no unbiased variance of overlapping repetitions exists.",
        "- A learning rate, size or batch that is outside the ranges was not tried, for any arm.",
        "- Tuned with the same budget is not tuned well. For NeuMF with BCE on the latest positives, five draws of "
        "this procedure came to less on validation than the default settings, and than 15 trials of a longer search "
        "([what halving found](../baselines/README.md#tuning)). A first rung that short may favour what learns fast, "
        "and losses may differ in that.",
        "- The pilot's rows were made before the registration had its final form; their hashes and commits say so.", "",
    ])  # fmt: skip


def _again() -> str:
    return "\n".join([
        "## Again", "",
        "`python -m experiments.tuned_losses run`, once a core, makes the runs that [runs](runs) lacks; `report` "
        "writes this page and all that is drawn, [configurations.csv](configurations.csv). `plan` and `pilot` "
        "are what came before.", "",
    ])  # fmt: skip
