"""The agents by name. An agent recommends an item to each user who asks, and learns from the rewards."""

from ncf.core.registry import Registry
from ncf.simulation.agents.als import ALS
from ncf.simulation.agents.bayes_original import BayesOriginal
from ncf.simulation.agents.best_item import BestItem
from ncf.simulation.agents.gibbs import Gibbs
from ncf.simulation.agents.item_thompson import ItemThompson
from ncf.simulation.agents.random import Random
from ncf.simulation.agents.refit import Refit
from ncf.simulation.agents.thompson import Thompson
from ncf.simulation.agents.ucb import UCB

AGENTS = Registry(
    "agent",
    {
        "random": Random,
        "best_item": BestItem,
        "item_thompson": ItemThompson,
        "als": ALS,
        "als_epsilon": ALS,
        "ucb": UCB,
        "thompson": Thompson,
        "gibbs": Gibbs,
        "refit": Refit,
        "bayes_original": BayesOriginal,
    },
)
