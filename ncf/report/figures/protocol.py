"""Would another evaluation protocol have told another story?"""

from matplotlib.figure import Figure

from ncf.evaluation.hypergeometric import SAMPLED
from ncf.report.flips import flips
from ncf.report.naming import label, metric_name
from ncf.report.study import Study
from ncf.report.style import WIDTH, look


def sampled(study: Study) -> tuple[Figure, str]:
    """Each run's metric by full ranking against its expectation among 99 sampled negatives."""
    table = study.joined(study.companion("sampled", "the ranks of the runs: a report from run folders uses them"))
    metric = study.primary.partition("/")[2]
    counted = {r: c for r in study.ratios if (c := flips(study, r)).pairs}
    arms = study.registration.arms
    figure = Figure(figsize=(WIDTH, 3.9))
    axes = figure.subplots(1, max(1, len(counted)), squeeze=False)[0]
    for ax, (ratio, count) in zip(axes, counted.items()):
        for name, arm in arms.items():
            full = study.values(arm, ratio, study.primary)
            among = study.values(arm, ratio, metric, table).reindex(full.index)
            colour, marker = look(arms, name)
            if len(full):
                ax.plot(full, among, marker, color=colour, markersize=4, alpha=0.75, label=label(arm))
        ax.set_title(f"1:{ratio}: {count.flipped} of {count.pairs} pairs flip ({count.flipped / count.pairs:.0%})")
        ax.set_xlabel(f"{metric_name(study.primary)}, full ranking")
    axes[0].set_ylabel(f"expected {metric_name(metric)}, {SAMPLED} sampled")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure, (
        f"A point is a run. A pair is two losses with one seed; it flips where the two protocols disagree on which "
        f"is better. The sampled metric is its exact expectation over the draw of {SAMPLED} negatives."
    )
