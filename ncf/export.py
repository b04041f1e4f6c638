"""`python -m ncf.export run=<folder> output=<folder>`: write a run's vectors and model for use by other programs."""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from ncf.core import command_line
from ncf.core.files import atomic
from ncf.errors import ConfigError, DataError, NcfError
from ncf.models import GradientRecommender, Recommender
from ncf.runs.loaded_run import LoadedRun
from ncf.runs.loading import add_options, load_asked

FORMS = ("npy", "parquet", "model")
DEFAULT_FORMS = ("npy", "model")
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
    return options


def main(arguments: Sequence[str]) -> None:
    """Run the command. Raises NcfError for errors that the user can fix."""
    options = parser().parse(arguments)
    forms = options.forms.split(",") if options.forms else DEFAULT_FORMS
    unknown = [form for form in forms if form not in FORMS]
    if unknown:
        raise ConfigError(f"forms: expected some of {', '.join(FORMS)}, got {unknown[0]!r}")
    run = load_asked(options)
    run.refuse_unsound()
    try:
        options.output.mkdir(parents=True, exist_ok=True)
        written = _write(run, forms, options.output, all_wanted=bool(options.forms))
    except OSError as error:
        raise ConfigError(f"output: cannot write to {options.output} ({error.strerror})") from None
    print("\n".join(map(str, written)))


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
        raise DataError(f"vectors: the score of {type(run.model).__name__} is not an inner product of vectors")
    found = {"items": (run.split.item_ids, items.numpy()), "users": (run.split.user_ids, users.numpy())}
    for what, (ids, table) in found.items():
        if not (sound := np.isfinite(table).all(1)).all():
            raise DataError(
                f"vectors: expected finite ones, found NaN or inf for {what[:-1]} {ids[np.argmin(sound)]!s}"
            )
    return found


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
    """
    written = []
    for what, (ids, table) in vectors(run).items():
        columns = {"id": ids, "vector": list(table)}
        if what == "items":
            columns |= {k: v for k, v in run.described(np.arange(len(ids))).items() if k != "item_id"}
        path = folder / f"{what}.parquet"
        try:
            with atomic(path) as file:
                pd.DataFrame(columns).to_parquet(file, index=False)
        except ImportError:
            raise ExportError("forms=parquet: pyarrow is not installed; pip install 'ncf[export]'") from None
        written.append(path)
    return written


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
