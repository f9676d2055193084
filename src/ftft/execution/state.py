"""Training states on disk: a tree of tensors and plain values in one safetensors file, no pickle.

The name of a file ends in a hash of its content, so that a single flipped bit is noticed on reading.
"""

import json
import logging
import os
import random
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ..artifacts import canonical_json, file_hash
from ..replacing import replacing

METADATA_KEY = "ftft"
HASH_DIGITS = 32
logger = logging.getLogger(__name__)


def write_state(folder: str | Path, name: str, tree: dict, identity: dict) -> Path:
    """Write nested dicts of tensors, arrays and JSON values as `folder`/`name`.HASH.safetensors.

    `identity` says whose state it is.
    """
    tensors, values = {}, []
    for place, leaf in _leaves(tree):
        if isinstance(leaf, np.ndarray):
            leaf = torch.from_numpy(leaf)
        if isinstance(leaf, torch.Tensor):
            tensors[json.dumps(place)] = leaf.contiguous()
        else:
            values.append([place, leaf])
    header = canonical_json({"identity": identity, "values": values})
    with replacing(Path(folder) / name) as temporary:
        save_file(tensors, temporary, {METADATA_KEY: header})
        path = Path(folder) / f"{name}.{_content_hash(temporary)}.safetensors"
    os.replace(Path(folder) / name, path)
    return path


def read_state(path: str | Path, identity: dict) -> dict | None:
    """The tree that `write_state` wrote, tensors on the CPU.

    None, and a line in the log, where the file is damaged or another run's.
    """
    try:
        if _content_hash(path) != Path(path).name.split(".")[-2]:
            logger.warning("ignoring the training state %s: its content is not what was saved", path)
            return None
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[METADATA_KEY])
            if header["identity"] != identity:
                logger.warning("ignoring the training state %s: it belongs to another run", path)
                return None
            leaves = [(json.loads(name), file.get_tensor(name)) for name in file.keys()]  # noqa: SIM118
    except (OSError, SafetensorError, LookupError, ValueError) as error:
        logger.warning("ignoring the training state %s: it cannot be read (%s)", path, error)
        return None
    tree: dict = {}
    for place, leaf in (*leaves, *header["values"]):
        *parents, name = place
        branch = tree
        for parent in parents:
            branch = branch.setdefault(parent, {})
        branch[name] = leaf
    return tree


def _content_hash(path: str | Path) -> str:
    return file_hash(path)[:HASH_DIGITS]


def _leaves(tree: dict, place: tuple = ()):
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*place, name))
        else:
            yield (*place, name), value


def random_state(device: torch.device) -> dict:
    """The states of all random generators that a step on `device` may draw from."""
    kind, keys, *rest = np.random.get_state()
    state = {
        "python": random.getstate(),
        "numpy": [kind, keys.tolist(), *rest],
        "torch": torch.get_rng_state(),
    }
    return {**state, "cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else state


def restore_random_state(state: dict, device: torch.device) -> None:
    """Let the generators go on from `random_state`."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
