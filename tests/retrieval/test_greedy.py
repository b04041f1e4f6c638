"""What every re-ranker promises: at lambda 1 the order stays, users do not affect each other, nothing comes twice."""

import pytest
import torch
from candidate_lists import COUNT, ITEMS, candidates, genres, tastes

from ncf.retrieval.calibrated import Calibrated
from ncf.retrieval.candidates import Candidates
from ncf.retrieval.dpp import DPP
from ncf.retrieval.greedy import Reranker
from ncf.retrieval.mmr import MMR
from ncf.retrieval.popularity_cap import PopularityCap
from ncf.retrieval.rerankers import RERANKERS
from ncf.retrieval.similarity import cosine
from ncf.retrieval.xquad import XQuAD


def made(name: str, weight: float) -> Reranker:
    by_name = {
        "mmr": lambda: MMR(weight, cosine(genres())),
        "dpp": lambda: DPP(weight, cosine(genres())),
        "xquad": lambda: XQuAD(weight, genres(), tastes()),
        "calibrated": lambda: Calibrated(weight, genres(), tastes()),
        "popularity_cap": lambda: PopularityCap(weight, torch.arange(ITEMS) < 20),
    }
    return by_name[name]()


@pytest.mark.parametrize("name", RERANKERS)
@pytest.mark.parametrize("k", [1, 4, COUNT, COUNT + 3])
def test_at_lambda_1_the_order_stays(name: str, k: int) -> None:
    found = candidates()
    expected = torch.where(found.there, torch.arange(COUNT), -1)[:, :k]
    chosen = made(name, 1.0).choose(found, k)
    assert chosen.shape == (len(found.users), k)
    assert chosen[:, :COUNT].tolist() == expected.tolist()
    assert (chosen[:, COUNT:] == -1).all()


@pytest.mark.parametrize("name", RERANKERS)
@pytest.mark.parametrize("weight", [0.0, 0.5, 0.7])
def test_each_candidate_comes_once_and_users_do_not_matter_to_each_other(name: str, weight: float) -> None:
    found = candidates()
    chosen = made(name, weight).choose(found, COUNT)
    for row, count in enumerate(found.there.sum(1).tolist()):
        assert sorted(chosen[row].tolist()) == [-1] * (COUNT - count) + list(range(count))
        alone = Candidates(*(t[row : row + 1] for t in (found.users, found.items, found.scores)))
        assert made(name, weight).choose(alone, COUNT)[0].tolist() == chosen[row].tolist()


@pytest.mark.parametrize("name", RERANKERS)
def test_of_equally_good_ones_the_first_comes_first(name: str) -> None:
    found = Candidates(torch.tensor([0]), torch.tensor([[7, 7, 7, 7]]), torch.ones(1, 4))
    assert made(name, 0.5).choose(found, 3).tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("name", RERANKERS)
def test_a_scale_or_shift_of_scores_changes_nothing(name: str) -> None:
    found = candidates()
    other = Candidates(found.users, found.items, found.scores * 1024 + 512)
    assert made(name, 0.7).choose(found, 5).tolist() == made(name, 0.7).choose(other, 5).tolist()
