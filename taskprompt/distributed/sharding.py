"""Sharding of weights over workers (FSDP2), and operations that differ between shards and whole tensors."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from taskprompt.distributed import collective


def shard(model: nn.Module, device: torch.device) -> nn.Module:
    """Shard the weights of a model over all workers, in place: block by block, then the rest."""
    mesh = init_device_mesh(device.type, (collective.world()[1],))
    lists = [m for m in model.get_submodule("encoder").modules() if isinstance(m, nn.ModuleList)]
    for block in (b for blocks in lists for b in blocks):
        if any(True for _ in block.parameters()):
            fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model


def is_sharded(model: nn.Module) -> bool:
    """Whether its weights are sharded."""
    return isinstance(model, FSDPModule)


def local(tensor: Tensor) -> Tensor:
    """This worker's part; a view."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def whole(tensor: Tensor, like: Tensor | None = None) -> Tensor:
    """The full tensor of a sharded one, or of a local part sharded `like` another. A collective call."""
    if isinstance(like, DTensor) and not isinstance(tensor, DTensor):
        tensor = DTensor.from_local(tensor, like.device_mesh, like.placements, shape=like.shape, stride=like.stride())
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).detach()


def part_like(tensor: Tensor, like: Tensor) -> Tensor:
    """A full tensor, the same on every worker, in the form of `like`: full, or sharded over the workers."""
    if isinstance(like, DTensor):
        return distribute_tensor(tensor, like.device_mesh, like.placements, src_data_rank=None)
    return tensor


def clip_gradients(parameters: Iterable[Tensor], limit: float) -> float:
    """Scale the gradients so that their total norm is at most `limit`; returns the norm before."""
    parameters = [p for p in parameters if p.grad is not None]
    # Sharded and full tensors cannot be combined in one norm.
    groups = [[p for p in parameters if isinstance(p, DTensor) == sharded] for sharded in (True, False)]
    norms = [whole(get_total_norm([p.grad for p in group])) for group in groups if group]  # type: ignore[misc]
    norm = norms[0] if len(norms) == 1 else get_total_norm(norms)
    for group in groups:
        clip_grads_with_norm_(group, limit, norm)
    return float(norm)
