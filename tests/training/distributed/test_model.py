"""A table that is drawn in pieces has the numbers of one draw."""

import pytest
import torch
from several import require_torchrec

require_torchrec()

from ncf.training.distributed import model


@pytest.mark.parametrize("total", [1, 15, 16, 17, 63, 64, 65, 79, 80, 81, 129, 200])
def test_pieces_are_one_draw(total: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "_DRAWN_AT_ONCE", 64)
    whole, stream = (torch.Generator().manual_seed(total) for _ in range(2))
    expected = torch.empty(total).normal_(generator=whole)
    pieces = [torch.empty(count).normal_(generator=stream) for _, count in model._pieces(total)]
    assert torch.equal(torch.cat(pieces), expected)
    assert torch.equal(whole.get_state(), stream.get_state())


@pytest.mark.parametrize(("columns", "width"), [(4, 4), (3, 4)])
def test_a_process_keeps_its_own_rows(columns: int, width: int) -> None:
    table = torch.arange(10.0 * columns)
    weight = torch.zeros(4, width)  # rows 3 to 6
    for start in range(0, len(table), 7):
        model._keep(table[start : start + 7], start, columns, weight, 3)
    assert torch.equal(weight[:, :columns], table.view(10, columns)[3:7])
    assert not weight[:, columns:].any()
