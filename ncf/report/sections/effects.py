"""How sure, and how large: effect sizes, users beside seeds, and what the design can show."""

from pathlib import Path

from ncf.report.kit.naming import numbers, p_value, percent, percents, row_name
from ncf.report.kit.section import Cells, Listing, Section
from ncf.report.study import NotRunError, Study


def effects(study: Study) -> Cells:
    """Effect sizes and the other tests of each registered comparison, each once."""
    found = {**study.comparisons("higher"), **study.comparisons("grows")}
    rows = [
        [row_name(study.registration, judged.compared), f"{r.seeds}",
         *(numbers(r.effects[name]) for name in ("cohen_dz", "rank_biserial", "cliff_delta")),
         p_value(r.sign.p), p_value(r.t.p)]
        for judged in found.values() if (r := judged.result)
    ]  # fmt: skip
    if not rows:
        raise NotRunError("no registered comparison has three seeds in both arms")
    header = ["comparison", "seeds", "Cohen's d_z", "rank-biserial r", "Cliff's δ", "sign test p", "t test p"]
    return Cells(header, rows)


def users(study: Study) -> Cells:
    """Seeds alone beside seeds and users together."""
    table = study.companion("users", "the ranks of the runs: a report from run folders uses them")
    found = study.comparisons()
    rows = []
    for row in table.to_dict("records"):
        judged = found.get((row["treatment"], row["baseline"], row["metric"], (int(row["neg_ratio"]),)))
        if judged is None or judged.result is None:
            continue
        both = f"{row['change']:+.1%} [{row['change_low']:+.1%}, {row['change_high']:+.1%}]"
        rows.append(
            [row_name(study.registration, judged.compared), f"{row['seeds']:.0f}",
             percents(judged.result.effects["relative_change"]), both,
             f"{row['users_better']:.0f} / {row['users_worse']:.0f} of {row['users']:.0f}", p_value(row["p_ranks"])]
        )  # fmt: skip
    header = ["comparison", "seeds", "change, seeds", "change, seeds and users", "users better / worse", "p over users"]
    return Cells(header, rows)


def design(study: Study) -> Cells:
    """What the registered design can and cannot show."""
    rows = []
    for compared, plan in study.plans:
        p, name = plan.prospect, row_name(study.registration, compared)
        seen = [percent(p.detectable, 1), percent(p.power), f"{p.seeds_needed}"] if p else ["no pilot", "", ""]
        rows.append([plan.hypothesis, name, f"{plan.seeds}", p_value(plan.smallest_p), p_value(plan.level), *seen])
    margin = percent(study.registration.smallest_effect)
    header = ["", "comparison", "seeds", "smallest p", "level", "detectable"]
    return Cells([*header, f"power at {margin}", f"seeds for {margin}"], rows)


SECTION = Section(
    "How sure, and how large",
    Path(__file__).with_suffix(".j2"),
    (
        Listing("effects", "Effect sizes", effects),
        Listing("users", "Do the users agree?", users),
        Listing("design", "What the design can show", design),
    ),
)
