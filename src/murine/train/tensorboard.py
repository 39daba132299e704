"""Logs that TensorBoard reads, as an extra."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from murine.errors import MissingExtraError
from murine.train.loop import Log


@contextmanager
def tensorboard_log(folder: Path) -> Iterator[Log]:
    """Give a function that writes every number of an epoch's row under its name, at that epoch.

    The files lie in FOLDER/tensorboard; an interrupted run adds to them. Raises MissingExtraError where
    TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingExtraError("training.tensorboard = true", "tensorboard") from error
    writer = SummaryWriter(str(folder / "tensorboard"))

    def log(row: dict[str, float | int | None]) -> None:
        epoch = int(row["epoch"] or 0)
        for name, value in row.items():
            if name != "epoch" and value is not None:
                writer.add_scalar(name, value, epoch)
        writer.flush()

    try:
        yield log
    finally:
        writer.close()
