"""How sure, and how large: effect sizes, users beside seeds, and what the design can show."""

from pathlib import Path

from ncf.report.evidence import designed, observed, over_users, users_method
from ncf.report.kit.naming import numbers, p_value, percent, percents, row_name
from ncf.report.kit.section import Cells, Listing, Section
from ncf.report.study import NotRunError, Study
from ncf.study.plan import PILOT_CONFIDENCE


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
        both = over_users(study, judged)
        assert both
        rows.append(
            [row_name(study.registration, judged.compared), f"{row['seeds']:.0f}",
             percents(judged.result.effects["relative_change"]), percents(both),
             f"{row['users_better']:.0f} / {row['users_worse']:.0f} of {row['users']:.0f}"]
        )  # fmt: skip
    widest = " (at its widest)" if users_method(study) == "bootstrap" else ""
    header = ["comparison", "seeds", "change: these users, other seeds", f"change: other users and seeds{widest}"]
    return Cells([*header, "users whose mean rank is better / worse"], rows)


def design(study: Study) -> Cells:
    """What the registered design can and cannot show."""
    rows = []
    for plan, judged in designed(study):
        planned, hoped, seen = plan.cautious, plan.prospect, observed(judged)
        cells = ["no pilot", "", percent(seen, 1) if seen is not None else "", "", ""]
        if planned and hoped:
            cells[:2] = percent(planned.detectable, 1), percent(hoped.detectable, 1)
            cells[3:] = percent(planned.power), f"{planned.seeds_needed}"
        name = row_name(study.registration, judged.compared)
        rows.append([plan.hypothesis, name, f"{plan.seeds}", p_value(plan.smallest_p), p_value(plan.level), *cells])
    margin = percent(study.registration.smallest_effect)
    header = ["", "comparison", "seeds", "smallest p", "level", "detectable", "if known", "observed"]
    return Cells([*header, f"power at {margin}", f"seeds for {margin}"], rows, {"confidence": PILOT_CONFIDENCE})


SECTION = Section(
    "How sure, and how large",
    Path(__file__).with_suffix(".j2"),
    (
        Listing("effects", "Effect sizes", effects),
        Listing("users", "Do the users agree?", users),
        Listing("design", "What the design can show", design),
    ),
)
