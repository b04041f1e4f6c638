"""The sections that only this study has: `python -m ncf.report --import experiments.focal_loss.sections` adds them."""

from experiments.focal_loss import clamped, grid, rule
from ncf.report.sections import register

register("grid", grid.SECTION)
register("clamped", clamped.SECTION)
register("rule", rule.SECTION)
