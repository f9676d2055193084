"""Training dynamics from losses of responses that other programs wrote: S2L and Small2Large.

p_true is exp(-mean loss per token). Whether a response was right is not known of them.
"""

import math
import pickle
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import DataError
from . import arguments
from .dynamics import Dynamics

S2L_FOLDER, S2L_FILE = re.compile(r"checkpoint-(\d+)"), "losses.pt"
SMALL2LARGE_FILE = re.compile(r"epoch-(pre|\d+)\.pkl")


class _Plain(pickle.Unpickler):
    """Reads numbers and lists: whatever a pickle would call is refused."""

    def find_class(self, module: str, name: str):
        raise DataError(
            "a pickle of perplexities holds more than numbers",
            got=f"{module}.{name}",
            expected="a list of numbers",
            fix="write it anew from plain floats: code in a pickle is never run",
        )


def import_s2l(folder: str | Path) -> np.ndarray:
    """Losses [checkpoints, n] of the files `checkpoint-N/losses.pt` in a folder, in the order of N: lists of
    numbers or scalar tensors, as S2L's get_trajectories.py writes them. Raises DataError.
    """
    import torch

    folder = arguments.path("folder", folder)
    found = {
        int(match[1]): path / S2L_FILE
        for path in folder.glob("checkpoint-*")
        if (match := S2L_FOLDER.fullmatch(path.name)) and (path / S2L_FILE).is_file()
    }

    def read(path: Path) -> list[float]:
        losses = [float(loss) for loss in torch.load(path, map_location="cpu", weights_only=True)]
        if not all(math.isfinite(loss) and loss >= 0 for loss in losses):
            raise ValueError("mean losses per token are finite and 0 or more")
        return losses

    return _stacked([found[number] for number in sorted(found)], read, folder, f"checkpoint-N/{S2L_FILE}")


def import_small2large(folder: str | Path) -> np.ndarray:
    """Losses [passes, n], the logarithms of the perplexities in `epoch-pre.pkl`, if there, `epoch-1.pkl` and
    on: lists of numbers, as Small2Large's dump_pplxs.py writes them. Raises DataError.
    """
    folder = arguments.path("folder", folder)
    found = {
        0 if match[1] == "pre" else int(match[1]): path
        for path in folder.glob("epoch-*.pkl")
        if (match := SMALL2LARGE_FILE.fullmatch(path.name))
    }

    def read(path: Path) -> list[float]:
        with open(path, "rb") as file:
            perplexities = _Plain(file).load()
        if not isinstance(perplexities, list | tuple) or not all(type(own) is float for own in perplexities):
            raise ValueError("not a list of floating point numbers")
        if not all(math.isfinite(own) and own >= 1 for own in perplexities):
            raise ValueError("perplexities are finite and 1 or more")
        return [math.log(own) for own in perplexities]

    return _stacked([found[epoch] for epoch in sorted(found)], read, folder, "epoch-N.pkl")


def _stacked(paths: list[Path], read, folder: Path, named: str) -> np.ndarray:
    rows = []
    for path in paths:
        try:
            rows.append(read(path))
        except DataError:
            raise
        except Exception as error:  # pickles and tensors fail in many ways
            raise DataError(
                f"{path} cannot be read",
                got=f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}",
            ) from error
    if len({len(own) for own in rows}) != 1 or len(rows) < 2 or not rows[0]:
        raise DataError(
            f"{folder} holds no losses of several epochs of the same rows",
            got=f"{len(rows)} files {named}, of {', '.join(str(len(own)) for own in rows) or 'no'} rows",
            expected="two files or more, with a number for every row",
        )
    return np.array(rows, np.float64)


def dynamics_of_losses(losses: np.ndarray, uids: Sequence[str] | None = None) -> Dynamics:
    """Training dynamics of mean losses per token [epochs, n], without logits; `correct` is False throughout,
    for it is not known. Without `uids` the instances are numbered. Raises DataError.
    """
    expected = "finite mean losses per token of 0 or more"
    values = arguments.array("losses", losses, expected)
    arguments.shape("losses", values, ("epochs", "instances"))
    if values.dtype.kind not in "fiu" or not np.isfinite(values).all() or (values < 0).any():
        raise arguments.refuse("losses", "numbers that are negative or not finite", expected)
    instances = values.shape[1]
    names = list(map(str, range(instances))) if uids is None else arguments.uids(uids, instances)
    p_true = np.exp(-values.astype(np.float64)).astype(np.float32)
    return Dynamics(names, p_true, np.zeros(p_true.shape, bool))
