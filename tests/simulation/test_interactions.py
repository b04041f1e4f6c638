"""Sparse sums of rewards, against dense ones."""

import torch

from ncf.simulation.interactions import Interactions


def test_sums_are_those_of_dense_matrices() -> None:
    stream = torch.Generator().manual_seed(0)
    seen, counts, sums = Interactions(9, 7), torch.zeros(9, 7).double(), torch.zeros(9, 7).double()
    for _ in range(4):
        users, items = torch.randint(8, (20,), generator=stream), torch.randint(6, (20,), generator=stream)
        rewards = torch.randn(20, generator=stream, dtype=torch.float64)
        seen.add(users, items, rewards)
        counts.index_put_((users, items), torch.ones(20).double(), accumulate=True)
        sums.index_put_((users, items), rewards, accumulate=True)
    assert len(seen) == int((counts > 0).sum())
    assert (seen.total, len(seen.by_user().starts)) == (80, 10)
    of_items, of_users = torch.randn(7, 3, dtype=torch.float64), torch.randn(9, 3, dtype=torch.float64)
    assert torch.allclose(seen.by_user().counted(of_items), counts @ of_items)
    assert torch.allclose(seen.by_user().summed(of_items), sums @ of_items)
    assert torch.allclose(seen.by_item().counted(of_users), counts.T @ of_users)
    assert torch.allclose(seen.by_item().summed(of_users), sums.T @ of_users)
    part = seen.by_user().part(3, 6)
    assert torch.allclose(part.summed(of_items), (sums @ of_items)[3:6])


def test_nothing_seen_sums_to_zero_and_the_state_is_whole() -> None:
    seen = Interactions(2, 3)
    assert torch.equal(seen.by_item().counted(torch.ones(2, 4)), torch.zeros(3, 4))
    seen.add(torch.tensor([1, 1]), torch.tensor([2, 2]), torch.tensor([0.5, 1.5]))
    other = Interactions(2, 3)
    other.load(seen.state())
    assert (other.total, other.squares, len(other)) == (2, 2.5, 1)
    assert float(other.by_item().summed(torch.ones(2, 1))[2]) == 2.0


def test_memory_grows_with_pairs_not_with_the_product() -> None:
    seen = Interactions(10**6, 10**6)
    seen.add(torch.arange(1000), torch.arange(1000), torch.ones(1000))
    assert sum(tensor.numel() for tensor in seen.state().values()) < 4000
