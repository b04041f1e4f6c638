"""A mapped checkpoint: verified like any other, but a piece at a time, and of the file that was opened."""

from pathlib import Path
from typing import Any

import pytest
import torch
from smaps import resident

from ncf.runs import checkpoint, torch_file
from ncf.runs.mapping import Mapped
from ncf.training.trainer import Progress

pytestmark = pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="the system does not say what is mapped")
ROWS, COLUMNS = 65536, 64  # 16 MiB
STATE: dict[str, Any] = {"settings": {"seed": 1}, "data_digest": None, "progress": vars(Progress())}


def saved(folder: Path, shift: float = 0.0) -> dict[str, Any]:
    """A checkpoint with best and current weights, 32 MiB together; the result that it gave."""
    table = torch.arange(ROWS * COLUMNS, dtype=torch.float32).view(ROWS, COLUMNS) + shift
    checkpoint.save(folder, {**STATE, "best": {"users": table}, "model": {"users": table + 1}})
    return {"config": STATE["settings"], "weights_sha256": checkpoint.digest({"users": table})}


def test_it_is_verified_a_piece_at_a_time_and_then_only_what_is_used_is_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = saved(tmp_path)
    monkeypatch.setattr(checkpoint, "_AT_ONCE", 2**20)
    peak, pieces, give_back = [0], [0], Mapped.give_back

    def looked(self: Mapped, tensor: torch.Tensor) -> None:
        pieces[0] += tensor.numel() >= 2**20
        if pieces[0] % 7 == 1:  # looking takes long
            peak[0] = max(peak[0], resident(tensor.data_ptr()))
        give_back(self, tensor)

    monkeypatch.setattr(Mapped, "give_back", looked)
    found = checkpoint.of_result(tmp_path, result, mapped=True)
    table = found.best["users"]
    assert pieces[0] == 3 * 16  # both checksums: of all, and of the best weights
    assert 0 < peak[0] < 8 * 1024  # of 32 MiB: a piece, and what the system reads around it
    assert resident(table.data_ptr()) < 3 * 1024
    assert float(table[ROWS // 2 :].sum(dtype=torch.float64)) > 0
    assert 8 * 1024 <= resident(table.data_ptr()) < 12 * 1024
    plain = checkpoint.of_result(tmp_path, result)
    assert torch.equal(plain.best["users"], table)


def test_it_is_the_file_that_was_looked_through_whatever_has_its_name_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another checkpoint takes its place between the look and the load."""
    result, check = saved(tmp_path), torch_file.check

    def replaced(*arguments: Any) -> None:
        check(*arguments)
        saved(tmp_path, shift=5.0)
        (tmp_path / checkpoint.PREVIOUS).unlink()

    monkeypatch.setattr(torch_file, "check", replaced)
    assert float(checkpoint.of_result(tmp_path, result, mapped=True).best["users"][0, 0]) == 0.0
