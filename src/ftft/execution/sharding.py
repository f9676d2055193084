"""Weights, gradients and the optimiser's moments shared out over the processes of a training (FSDP2), for
models that no one device holds.

torch's own `fully_shard` is called, and not through accelerate, which shards on GPUs alone: so the tests run
on a CPU what runs on GPUs.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import distributed, nn
from torch.distributed import checkpoint
from torch.distributed.checkpoint import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, Shard, empty


def shard(model: nn.Module, device: torch.device) -> nn.Module:
    """Leave every process its part of the model's weights, in place; a layer's are gathered when it is run.

    Layers are the members of the model's lists of modules; what else it has is gathered for the whole pass.
    """
    mesh = _mesh(device)
    for layer in list(_layers(model)):
        fully_shard(layer, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def is_sharded(model: nn.Module) -> bool:
    """Whether `shard` has changed this model."""
    return isinstance(model, FSDPModule)


@contextmanager
def gradients_kept_apart(model: nn.Module) -> Iterator[None]:
    """Add the gradients of a sharded model up in every process, until the first backward pass after this."""
    model.set_requires_gradient_sync(False)
    try:
        yield
    finally:
        model.set_requires_gradient_sync(True)


def whole(state: Mapping[str, torch.Tensor], keep: bool) -> dict[str, torch.Tensor]:
    """The tensors of a sharded model, each gathered from all processes, on the CPU; empty but where `keep`.

    All processes call this.
    """
    gathered = {}
    for name, tensor in state.items():
        full = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
        if keep:
            gathered[name] = full.detach().cpu().clone()
    return gathered


def split_sharded(tree: dict, place: tuple = ()) -> tuple[dict, dict[str, DTensor]]:
    """A tree of nested dicts without its sharded tensors, and these by their places in it."""
    rest, sharded = {}, {}
    for name, value in tree.items():
        if isinstance(value, dict):
            rest[name], below = split_sharded(value, (*place, name))
            sharded |= below
        elif isinstance(value, DTensor):
            sharded[json.dumps((*place, name))] = value
        else:
            rest[name] = value
    return rest, sharded


def join_sharded(tree: dict, sharded: Mapping[str, DTensor]) -> dict:
    """The tree that `split_sharded` took apart; `tree` is changed."""
    for where, tensor in sharded.items():
        *parents, name = json.loads(where)
        branch = tree
        for parent in parents:
            branch = branch.setdefault(parent, {})
        branch[name] = tensor
    return tree


def write_shards(folder: Path, tensors: Mapping[str, DTensor]) -> None:
    """Write sharded tensors as safetensors, of every process its part; all processes call this."""
    checkpoint.save(
        dict(tensors), storage_writer=HuggingFaceStorageWriter(str(folder), save_distributed=True)
    )


def read_shards(folder: Path, device: torch.device) -> dict[str, DTensor]:
    """What `write_shards` wrote, of every process its part; all processes call this."""
    mesh, reader = _mesh(device), HuggingFaceStorageReader(str(folder))
    tensors = {
        name: empty(*found.size, dtype=found.properties.dtype, device_mesh=mesh, placements=[Shard(0)])
        for name, found in reader.read_metadata().state_dict_metadata.items()
    }
    checkpoint.load(tensors, storage_reader=reader)
    return tensors


def _mesh(device: torch.device) -> DeviceMesh:
    return init_device_mesh(device.type, (distributed.get_world_size(),))


def _layers(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        members = [child] if not isinstance(child, nn.ModuleList) else list(child)
        for member in members:
            if isinstance(child, nn.ModuleList) and not isinstance(member, nn.ModuleList):
                yield member
            else:
                yield from _layers(member)
