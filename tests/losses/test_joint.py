"""The losses of two tasks: by hand, against their parts, and their settings."""

import pytest
import torch
from toys import keys_of

from ncf.core.config import component
from ncf.data import Batch
from ncf.errors import ConfigError
from ncf.losses import BPR, LOSSES, BPRRating

LOGITS = torch.tensor([[2.0, 1.0, 3.0], [0.0, 0.0, -1.0]])
RATINGS, PREDICTED = torch.tensor([4.0, 1.0]), torch.tensor([3.5, 3.0])
BATCH = Batch(torch.arange(2), torch.arange(6).view(2, 3), RATINGS)


def test_a_positive_has_its_squared_error_and_a_negative_the_loss_of_its_pair() -> None:
    found = BPRRating(ranking=0.5, rating=2.0, link="sigmoid")(LOGITS, BATCH, PREDICTED)
    wrong = torch.tensor([[1.0, -1.0], [0.0, 1.0]]).sigmoid()  # of x_0 - x_j
    expected = torch.cat([2.0 * torch.tensor([[0.25], [4.0]]), 0.5 * (1 - wrong)], dim=1)
    torch.testing.assert_close(found, expected)


def test_with_the_log_link_and_no_weight_on_ratings_it_is_bpr_to_the_bit() -> None:
    found = BPRRating(ranking=1.0, rating=0.0, link="log")(LOGITS, BATCH, PREDICTED)
    assert torch.equal(found, BPR()(LOGITS))


def test_without_predicted_ratings_it_is_the_ranking_task_alone() -> None:
    found = BPRRating(ranking=0.5, rating=2.0, link="log")(LOGITS, Batch(BATCH.users, BATCH.items))
    assert torch.equal(found, 0.5 * BPR()(LOGITS))


def test_tasks_are_reported_without_their_weights() -> None:
    tasks = BPRRating(ranking=0.0, rating=1e-6, link="log").per_task(LOGITS, BATCH, PREDICTED)
    assert {name: tuple(losses.shape) for name, losses in tasks.items()} == {"ranking": (2, 2), "rating": (2, 1)}
    assert torch.equal(tasks["ranking"], BPR()(LOGITS)[:, 1:])
    assert torch.equal(tasks["rating"][:, 0], (PREDICTED - RATINGS) ** 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ranking": -1.0}, "loss.ranking: expected a value greater than or equal to 0, got -1.0"),
        ({"rating": -0.5}, "loss.rating: expected a value greater than or equal to 0, got -0.5"),
        ({"ranking": 0.0, "rating": 0.0}, "loss.rating: expected loss.ranking or loss.rating above 0, as with both at"),
        ({"link": "probit"}, "loss.link: expected 'log' or 'sigmoid'"),
    ],
)
def test_settings_without_meaning_are_refused_in_one_line(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        component("loss", LOSSES, keys_of("loss", "bpr_rating") | changes)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("ranking", "rating"), [(0.0, 1.0), (1.0, 0.0)])
def test_one_weight_may_be_zero(ranking: float, rating: float) -> None:
    keys = keys_of("loss", "bpr_rating") | {"ranking": ranking, "rating": rating}
    assert component("loss", LOSSES, keys)() == BPRRating(ranking=ranking, rating=rating, link="log")
