"""A recommender service whose truth is known, and every method asked what showing B instead of A does to it.

`world` says who comes and what is relevant to whom; `policies` make lists of scores; `service` has the exact answer;
`sample` draws users, sessions and clicks of many replications at once; `designs` ask; `tables` hold answers and truth.
"""

from ncf.service.designs import DESIGNS, Answer, Design
from ncf.service.policies import POLICIES, Policy
from ncf.service.sample import Sample, samples
from ncf.service.service import Service
from ncf.service.world import WORLDS, Pool, Rankers, World

__all__ = [
    "DESIGNS", "POLICIES", "WORLDS", "Answer", "Design", "Policy", "Pool", "Rankers", "Sample", "Service", "World",
    "samples",
]  # fmt: skip
