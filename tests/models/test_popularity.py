import torch
from test_recommender_contract import SPLIT, ready


def test_scores_are_counts_of_training_positives():
    counts = [int((SPLIT.train.items == item).sum()) for item in range(15)]
    assert ready("popularity").score(torch.tensor([3, 5])).tolist() == [counts, counts]
