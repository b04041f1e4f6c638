"""What a policy would have earned, from the log of another.

In the order of an analysis: `policies` and `policy_files` say what is evaluated, `reward_models` predict rewards,
`rounds` brings both together with the log, `estimators` (and `slates`, of whole lists) estimate, `tuning` chooses their
parameters, `diagnostics` says how far the log can be trusted, and `analysis` does it all.
"""

from ncf.off_policy.analysis import Analysis, Settings, analyse
from ncf.off_policy.estimators import ESTIMATORS, clipped_ips, dm, dr, dr_os, ips, mrdr, replay, sndr, snips, switch_dr
from ncf.off_policy.per_action import PerAction, per_action
from ncf.off_policy.policy_files import Policy
from ncf.off_policy.rounds import Rounds, rounds

__all__ = [
    "ESTIMATORS",
    "Analysis",
    "PerAction",
    "Policy",
    "Rounds",
    "Settings",
    "analyse",
    "clipped_ips",
    "dm",
    "dr",
    "dr_os",
    "ips",
    "mrdr",
    "per_action",
    "replay",
    "rounds",
    "sndr",
    "snips",
    "switch_dr",
]
