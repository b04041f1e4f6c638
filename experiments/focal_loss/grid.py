"""The gamma x alpha surface."""

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from ncf.report.naming import metric_name, number
from ncf.report.study import EXPERIMENT, NotRunError, Study
from ncf.report.style import GREY, WIDTH
from ncf.study.registration import Selector, Value

Array = np.ndarray


def heat_map(study: Study) -> tuple[Figure, str]:
    """Mean of each cell's seeds, coloured by its change against BCE on the same seeds; a panel a ratio."""
    surfaces = {r: s for r in study.ratios if (s := surface(study, r)) is not None}
    if not surfaces:
        raise NotRunError("the γ × α grid", EXPERIMENT.format("grid"))
    gammas, alphas = _axis(study, "gamma"), _axis(study, "alpha")
    largest = max(float(np.nanmax(np.abs(change))) for _, change, _ in surfaces.values())
    norm = Normalize(-largest, largest)
    figure = Figure(figsize=(WIDTH, 3.9))
    axes = figure.subplots(1, len(surfaces), squeeze=False, sharey=True)[0]
    for ax, (ratio, (mean, change, level)) in zip(axes, surfaces.items()):
        image = ax.imshow(change, cmap=matplotlib.colormaps["PuOr"], norm=norm, aspect="auto")
        _cells(ax, mean, change, largest)
        ax.set_xticks(
            range(len(alphas)),
            [number(a).replace("balanced", f"{ratio / (ratio + 1):.3f}\n(balanced)") for a in alphas],
        )
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
    count = study.registration.grids["grid"].seeds
    seeds = ", ".join(f"{count.get(r, 0)} at 1:{r}" for r in surfaces)
    return figure, (
        f"A cell is the mean {metric_name(study.primary)} over the grid's seeds ({seeds}) and its change against BCE "
        f"on the same seeds; white is BCE's level. γ 0 is α-BCE.{_noise_cell(study)} So few seeds describe, they do "
        "not test."
    )


def _noise_cell(study: Study) -> str:
    """Which cell shows how far apart runs of one loss lie, if the grid has it."""
    settings = study.protocol.get("settings", {})
    scale_free = settings.get("optimizer.name") == "adam" and settings.get("optimizer.weight_decay") == 0
    halved = any(arm["gamma"] == 0 and arm["alpha"] == 0.5 for arm in study.arms_of("grid"))
    if not (scale_free and halved):
        return ""
    return " γ 0, α 0.5 is half of BCE, and Adam all but ignores a loss's scale: that cell shows the noise."


def surface(study: Study, ratio: int) -> tuple[Array, Array, float] | None:
    """Means (gammas, alphas) over the grid's seeds, relative changes against BCE on them, BCE's level.

    None if fewer than half of the cells are there.

    A cell without all of the grid's seeds is NaN.
    """
    if "grid" not in study.registration.grids:
        return None
    count = study.registration.grids["grid"].seeds.get(ratio, 0)
    seeds = range(study.registration.first_seed, study.registration.first_seed + count)
    baseline = study.values(study.registration.arms[study.contrasts[0][1]], ratio, study.primary).reindex(seeds)
    means = np.full((len(_axis(study, "gamma")), len(_axis(study, "alpha"))), np.nan)
    for arm in study.arms_of("grid"):
        cell = _axis(study, "gamma").index(arm["gamma"]), _axis(study, "alpha").index(arm["alpha"])
        means[cell] = study.values(arm, ratio, study.primary).reindex(seeds).mean(skipna=False)
    if not seeds or baseline.isna().any() or np.isnan(means).mean() > 0.5:
        return None
    return means, means / baseline.mean() - 1, float(baseline.mean())


def _axis(study: Study, key: str) -> list[Value]:
    arms: list[Selector] = study.arms_of("grid")
    return list(dict.fromkeys(arm[key] for arm in arms))


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
