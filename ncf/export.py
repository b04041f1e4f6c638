"""`python -m ncf.export run=<folder> output=<folder>`: write a run's vectors and model for use by other programs."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm import tqdm

from ncf.core import command_line, shares
from ncf.core.files import atomic
from ncf.core.shares import Share
from ncf.errors import ConfigError, DataError, NcfError
from ncf.models import GradientRecommender, Recommender
from ncf.runs.loaded_run import LoadedRun
from ncf.runs.loading import add_options, load_asked
from ncf.runs.parquet_parts import Block, Table, made_of
from ncf.runs.user_rows import no_vectors, user_vectors

FORMS = ("npy", "parquet", "model")
DEFAULT_FORMS = ("npy", "model")
_PARQUET, _USERS, _ITEMS = "parquet", "users.parquet", "items.parquet"
MODEL = "model.pt2"


class ExportError(NcfError, RuntimeError):
    """A run cannot be exported in the requested form; the message says why."""


class Score(nn.Module):
    """A module whose forward returns a recommender's scores, as torch.export requires.

    For a model trained by gradient it calls the model's `forward`: `score` may loop over chunks of the batch, whose
    number would become fixed in the exported program.
    """

    def __init__(self, model: Recommender, num_items: int) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("items", torch.arange(num_items))

    def forward(self, users: Tensor) -> Tensor:
        """users (B,) int64 -> scores of every item (B, I)."""
        if isinstance(self.model, GradientRecommender):
            logits: Tensor = self.model(users, self.get_buffer("items").expand(users.shape[0], -1))
            return logits
        return self.model.score(users)


def parser() -> command_line.Parser:
    """Define the options of the command."""
    options = command_line.Parser("ncf.export", __doc__)
    add_options(options)
    options.add_argument("--output", required=True, type=Path, help="folder to write to; created if necessary")
    options.add_argument("--forms", help="forms to write, of npy, parquet, model (npy,model if the run supports them)")
    shares.add_option(options, "users.parquet, then a folder, with forms=parquet; 0 writes items.parquet as well")
    return options


def main(arguments: Sequence[str]) -> None:
    """Run the command. Raises NcfError for errors that the user can fix."""
    with shares.speaking():
        options = parser().parse(arguments)
        forms = options.forms.split(",") if options.forms else DEFAULT_FORMS
        unknown = [form for form in forms if form not in FORMS]
        if unknown:
            raise ConfigError(f"forms: expected some of {', '.join(FORMS)}, got {unknown[0]!r}")
        share = shares.asked(options.part)
        if share is None:
            _export(options, forms)
        else:
            _export_part(options, share)


def _export(options: argparse.Namespace, forms: Sequence[str]) -> None:
    run = load_asked(options)
    run.refuse_unsound()
    try:
        options.output.mkdir(parents=True, exist_ok=True)
        written = _write(run, forms, options.output, all_wanted=bool(options.forms))
    except OSError as error:
        raise ConfigError(f"output: cannot write to {options.output} ({error.strerror})") from None
    print("\n".join(map(str, written)))


def _export_part(options: argparse.Namespace, share: Share) -> None:
    """Write the vectors of this share of the users, and the first share those of the items, unless they are there."""
    if options.forms not in (None, _PARQUET):
        raise ConfigError(f"forms: expected {_PARQUET}, which is written by parts, got {options.forms!r:.40}")
    source = Path(options.run)
    users = Table(options.output / _USERS, share, made_of(source, "user vectors", {}))
    items = Table(options.output / _ITEMS, None, made_of(source, "item vectors", {}))
    missing = [table for table in (users, items) if (table is users or share.part == 0) and table.missing()]
    run = load_asked(options, mapped=True) if missing else None
    for table in (items, users):  # the first part of the users is there only once the items are
        if run is not None and table in missing:
            table.write(_item_block(run) if table is items else _user_blocks(run, share))
        if share.speaks and (table is users or share.part == 0):
            print(table.file if table in missing else f"{table.file}: complete; nothing to do")


def _item_block(run: LoadedRun) -> Iterator[Block]:
    table = run.model.item_vectors()
    if table is None:
        raise no_vectors(run)
    yield _item_frame(run, _finite("items", run.split.item_ids, table.numpy())), np.ones(len(table), bool)


def _user_blocks(run: LoadedRun, share: Share) -> Iterator[Block]:
    first, end = share.of(run.split.num_users)
    with tqdm(total=end - first, unit="users", disable=not share.speaks) as bar:
        for start, vectors in user_vectors(run, first, end):
            ids = run.split.user_ids[start : start + len(vectors)]
            wanted = np.arange(start, start + len(vectors)) < end
            yield pd.DataFrame({"id": ids, "vector": list(_finite("users", ids, vectors.numpy()))}), wanted
            bar.update(int(wanted.sum()))


def _write(run: LoadedRun, forms: Sequence[str], folder: Path, all_wanted: bool) -> list[Path]:
    """Return the files written. A form that the run lacks is skipped, unless `all_wanted` or if nothing was written."""
    written: list[Path] = []
    for form in forms:
        try:
            written += WRITERS[form](run, folder)
        except (DataError, ExportError) as error:
            if all_wanted or (form == forms[-1] and not written):
                raise
            print(f"skipped: {error}", file=sys.stderr)
    return written


def vectors(run: LoadedRun) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return "items" and "users" -> raw ids (I or U,) and float32 vectors (I or U, D) whose inner product is the score.

    Raises:
        DataError: the model's score is not an inner product, or a vector holds NaN or inf.
    """
    users, items = run.model.user_vectors(), run.model.item_vectors()
    if users is None or items is None:
        raise no_vectors(run)
    found = {"items": (run.split.item_ids, items.numpy()), "users": (run.split.user_ids, users.numpy())}
    return {what: (ids, _finite(what, ids, table)) for what, (ids, table) in found.items()}


def _finite(what: str, ids: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Return `table` (N, D). Raises DataError, naming one of `ids` (N,), if a vector holds NaN or inf."""
    if not (sound := np.isfinite(table).all(1)).all():
        raise DataError(f"vectors: expected finite ones, found NaN or inf for {what[:-1]} {ids[np.argmin(sound)]!s}")
    return table


def write_npy(run: LoadedRun, folder: Path) -> list[Path]:
    """Write `items.npy` (I, D) and `item_ids.npy` (I,), with matching rows; the same for users. Raises as `vectors`."""
    written = []
    for what, (ids, table) in vectors(run).items():
        for path, array in ((folder / f"{what}.npy", table), (folder / f"{what[:-1]}_ids.npy", ids)):
            with atomic(path) as file:
                np.save(file, array, allow_pickle=False)
            written.append(path)
    return written


def write_parquet(run: LoadedRun, folder: Path) -> list[Path]:
    """Write `items.parquet` (id, vector, and title and genres if known) and `users.parquet` (id, vector).

    Raises:
        ExportError: pyarrow, of the extra `export`, is not installed.
        DataError: the model's score is not an inner product.
        ConfigError: the folder has users by parts.
    """
    written = []
    if (parts := folder / _USERS).is_dir():
        raise ConfigError(f"output: expected no folder at {parts}, which has users by parts; take another folder")
    for what, (ids, table) in vectors(run).items():
        frame = _item_frame(run, table) if what == "items" else pd.DataFrame({"id": ids, "vector": list(table)})
        path = folder / f"{what}.parquet"
        try:
            with atomic(path) as file:
                frame.to_parquet(file, index=False)
        except ImportError:
            raise ExportError("forms=parquet: pyarrow is not installed; pip install 'ncf[export]'") from None
        written.append(path)
    return written


def _item_frame(run: LoadedRun, table: np.ndarray) -> pd.DataFrame:
    """Return id, vector, and title and genres if known, of all items, whose vectors are `table` (I, D)."""
    known = {k: v for k, v in run.described(np.arange(len(table))).items() if k != "item_id"}
    return pd.DataFrame({"id": run.split.item_ids, "vector": list(table)} | known)


def write_model(run: LoadedRun, folder: Path) -> list[Path]:
    """Write `model.pt2`, a torch.export program: users (B,) int64 -> scores (B, I), any B; read it back and verify it.

    Raises:
        ExportError: the model cannot be exported, or the program's scores differ from the model's.
        CheckpointError: these scores are not finite.
    """
    run.score(run.split.user_ids[:8].tolist())
    path = folder / MODEL
    users = torch.arange(min(8, run.split.num_users))
    if "starts" in run.model.state_dict():
        raise ExportError(
            f"forms=model: {type(run.model).__name__} scores from histories of any length, which torch.export does not "
            "support; forms=npy writes its vectors if its score is an inner product"
        )
    module, batch = Score(run.model, run.split.num_items).eval(), {"users": {0: torch.export.Dim.DYNAMIC}}
    try:
        with torch.no_grad():
            program = torch.export.export(module, (users,), dynamic_shapes=batch)
    except Exception as error:  # torch.export raises many kinds of errors
        raise ExportError(
            f"forms=model: {type(run.model).__name__} cannot be exported: torch.export does not support its scoring "
            f"({type(error).__name__})"
        ) from None
    with atomic(path) as file:
        torch.export.save(program, file)
    for sample in (users, users[:3]):
        if not torch.allclose(torch.export.load(path).module()(sample), run.model.score(sample), rtol=1e-5, atol=1e-6):
            path.unlink()
            raise ExportError(f"{path}: the exported program's scores differ from the model's")
    return [path]


WRITERS = {"npy": write_npy, "parquet": write_parquet, "model": write_model}

if __name__ == "__main__":
    command_line.run(main)
