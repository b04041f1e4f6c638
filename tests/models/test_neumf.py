"""NeuMF is one linear layer over GMF's and the MLP's features (He et al. 2017, eq. 12)."""

import torch

from ncf.models import NeuMF


def test_the_logit_is_the_output_layer_over_both_features() -> None:
    model = NeuMF(4, 5, gmf_factors=3, mlp_factors=2, hidden=[8, 6], dropout=0.0).double()
    users, items = torch.arange(4), torch.randint(5, (4, 6), generator=torch.Generator().manual_seed(0))
    features = torch.cat([model.gmf(users, items), model.mlp(users, items)], dim=-1)
    torch.testing.assert_close(model(users, items), model.output(features).squeeze(-1))


def test_the_towers_share_no_weight() -> None:
    model = NeuMF(4, 5, gmf_factors=3, mlp_factors=3, hidden=[4], dropout=0.0)
    tables = [p for p in model.parameters() if p.shape[0] in (4, 5) and p.shape[1:] == (3,)]
    assert len({p.data_ptr() for p in tables}) == len(tables) == 4


def test_the_default_has_the_parameters_of_the_reference_study() -> None:
    """942 users, 1,447 items: embeddings 2 x 64, layers 128-128-64-32, output 96."""
    model = NeuMF(942, 1447, gmf_factors=64, mlp_factors=64, hidden=[128, 64, 32], dropout=0.0)
    layers = (128 * 128 + 128) + (128 * 64 + 64) + (64 * 32 + 32) + (96 + 1)
    assert sum(p.numel() for p in model.parameters()) == (942 + 1447) * 128 + layers


def test_scores_are_the_logits_of_every_pair() -> None:
    model = NeuMF(4, 5, gmf_factors=3, mlp_factors=2, hidden=[8, 6], dropout=0.0)
    users = torch.tensor([2, 0, 3])
    torch.testing.assert_close(model.score(users), model(users, torch.arange(5).expand(3, 5)), rtol=1e-5, atol=1e-6)


def test_the_embedding_of_an_item_is_that_of_both_towers() -> None:
    model = NeuMF(4, 5, gmf_factors=3, mlp_factors=2, hidden=[8], dropout=0.0)
    embeddings = model.item_embeddings()
    assert torch.equal(embeddings[:, :3], model.gmf.items.weight)
    assert torch.equal(embeddings[:, 3:], model.mlp.items.weight)
