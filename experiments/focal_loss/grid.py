# ruff: noqa: RUF001
"""The γ × α grid beside BCE, and what α weighs at each ratio."""

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from ncf.core.rng import numpy_generator
from ncf.report.kit.naming import metric_name, number
from ncf.report.kit.section import Cells, Chart, Drawing, Facts, Listing, Section
from ncf.report.kit.style import GREY, WIDTH
from ncf.report.study import NotRunError, Study
from ncf.stats import StatisticsError
from ncf.stats.selection import best_of
from ncf.study.registration import Value, resolved

Array = np.ndarray

ALPHAS: list[Value] = [0.25, 0.5, 0.75, "balanced"]


def heat_map(study: Study) -> Drawing:
    """Mean of each cell's seeds, coloured by its change against BCE on the same seeds; a panel a ratio."""
    surfaces = {r: s for r in study.ratios if (s := surface(study, r)) is not None}
    if not surfaces:
        raise NotRunError("the γ × α grid", "grid")
    gammas, alphas = _axis(study, "gamma"), _axis(study, "alpha")
    largest = max(float(np.nanmax(np.abs(change))) for _, change, _ in surfaces.values())
    figure = Figure(figsize=(WIDTH, 3.9))
    axes = figure.subplots(1, len(surfaces), squeeze=False, sharey=True)[0]
    for ax, (ratio, (mean, change, level)) in zip(axes, surfaces.items()):
        image = ax.imshow(change, cmap=matplotlib.colormaps["PuOr"], norm=Normalize(-largest, largest), aspect="auto")
        _cells(ax, mean, change, largest)
        balanced = f"{ratio / (ratio + 1):.3f}\n(balanced)"
        ax.set_xticks(range(len(alphas)), [number(a).replace("balanced", balanced) for a in alphas])
        ax.set_yticks(range(len(gammas)), [number(g) for g in gammas])
        ax.set_xlabel("α, weight of positives")
        ax.set_title(f"1:{ratio}   BCE {level:.4f}")
        ax.grid(visible=False)
    axes[0].set_ylabel("γ, focusing")
    bar = figure.colorbar(image, ax=list(axes), shrink=0.85, pad=0.02)
    bar.set_label(f"change of {metric_name(study.primary)} against BCE")
    ticks = np.linspace(-largest, largest, 5)
    bar.set_ticks(ticks.tolist(), labels=[f"{t:+.0%}" if t else "BCE" for t in ticks])
    bar.ax.axhline(0, color="black", linewidth=1.5)
    counts = study.registration.grids["grid"].seeds
    return Drawing(figure, {"seeds": {r: counts.get(r, 0) for r in surfaces}, "noise_cell": _has_noise_cell(study)})


def _has_noise_cell(study: Study) -> bool:
    """Whether the grid has half of BCE under an optimizer that all but ignores a loss's scale."""
    settings = study.settings
    scale_free = settings.get("optimizer.name") == "adam" and settings.get("optimizer.weight_decay") == 0
    return scale_free and any(arm["gamma"] == 0 and arm["alpha"] == 0.5 for arm in study.arms_of("grid"))


def surface(study: Study, ratio: int) -> tuple[Array, Array, float] | None:
    """Means (gammas, alphas) over the grid's seeds, relative changes against BCE on them, BCE's level.

    A cell without all of the grid's seeds is NaN. None if fewer than half of the cells are there.
    """
    if (found := _by_seed(study, ratio)) is None:
        return None
    values, baseline = found
    return values.mean(0), values.mean(0) / baseline.mean() - 1, float(baseline.mean())


def _by_seed(study: Study, ratio: int) -> tuple[Array, Array] | None:
    """The metric of each cell, (seeds, gammas, alphas), and of BCE, (seeds,)."""
    if "grid" not in study.registration.grids:
        return None
    count = study.registration.grids["grid"].seeds.get(ratio, 0)
    seeds = range(study.registration.first_seed, study.registration.first_seed + count)
    baseline = study.values(study.registration.arms[study.contrasts[0][1]], ratio, study.primary).reindex(seeds)
    gammas, alphas = _axis(study, "gamma"), _axis(study, "alpha")
    values = np.full((count, len(gammas), len(alphas)), np.nan)
    for arm in study.arms_of("grid"):
        own = study.values(arm, ratio, study.primary).reindex(seeds)
        values[:, gammas.index(arm["gamma"]), alphas.index(arm["alpha"])] = own
    if not seeds or baseline.isna().any() or np.isnan(values.mean(0)).mean() > 0.5:
        return None
    return values, baseline.to_numpy()


def _axis(study: Study, key: str) -> list[Value]:
    return list(dict.fromkeys(arm[key] for arm in study.arms_of("grid")))


def _cells(ax: Axes, mean: Array, change: Array, largest: float) -> None:
    for (row, column), value in np.ndenumerate(mean):
        if np.isnan(value):
            ax.text(column, row, "not run", ha="center", va="center", fontsize=7.5, color=GREY)
            continue
        dark = abs(change[row, column]) > 0.65 * largest
        ax.text(
            column, row, f"{value:.4f}\n{change[row, column]:+z.0%}", ha="center", va="center", fontsize=8,
            color="white" if dark else "black",
        )  # fmt: skip


def alpha_ratio(study: Study) -> Cells:
    """The effective negative:positive weight of each alpha at each ratio."""
    rows = []
    for ratio in study.ratios:
        values = [float(resolved(alpha, ratio)) for alpha in ALPHAS]
        rows.append([f"1:{ratio}", f"{values[-1]:.3f}", *(f"{(1 - a) * ratio / a:.2f}" for a in values)])
    return Cells(["negatives", "balanced α", *(f"α {a}" for a in ALPHAS)], rows)


def _best_cells(study: Study) -> Facts | None:
    """The cell with the largest change at each ratio, beside what the best would show by chance."""
    cells = []
    for ratio in study.ratios:
        if (found := surface(study, ratio)) is None:
            continue
        change = found[1]
        row, column = np.unravel_index(np.nanargmax(change), change.shape)
        gamma, alpha = number(_axis(study, "gamma")[row]), number(_axis(study, "alpha")[column])
        seeds = study.registration.grids["grid"].seeds[ratio]
        cells.append({"ratio": ratio, "gamma": gamma, "alpha": alpha, "change": change[row, column], "seeds": seeds,
                      "of": int(np.isfinite(change).sum()), "chance": _of_chance(study, ratio)})  # fmt: skip
    return {"cells": cells} if cells else None


def _of_chance(study: Study, ratio: int) -> float | None:
    """The change that the best of as many cells would show on average without any effect; None for under 3 seeds."""
    found = _by_seed(study, ratio)
    assert found
    values, baseline = found
    differences = (values - baseline[:, None, None]).reshape(len(values), -1)
    rng = numpy_generator(study.registration.bootstrap_seed, f"grid/{ratio}")
    try:
        best = best_of(differences[:, np.isfinite(differences).all(0)], rng=rng)
    except StatisticsError:
        return None
    return best.expected / float(baseline.mean())


SECTION = Section(
    "Other γ and α",
    Path(__file__).with_suffix(".j2"),
    (
        Chart("heat_map", "Does any γ and α beat BCE?", "descriptive", heat_map),
        Listing("alpha_ratio", "What α weighs at each ratio", alpha_ratio),
    ),
    remarks={"best_cells": _best_cells},
)
