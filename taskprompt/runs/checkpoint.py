"""Checkpoints: folders that are written atomically. Tensors in safetensors, the rest in json; nothing is unpickled."""

import json
import math
import re
import shutil
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from taskprompt.core.errors import CheckpointError
from taskprompt.core.files import flush
from taskprompt.distributed.sharding import part_like, whole
from taskprompt.recipe.recipe import Best, Recipe
from taskprompt.runs.records import State, checked

ANOTHER = "Use another checkpoint."
NAME = re.compile(r"step-(\d{8})$")


def save(
    folder: Path,
    step: int,
    tensors: Mapping[str, Mapping[str, Tensor]],
    state: Mapping[str, Any],
    keep: int,
    best: Best | None = None,
) -> Path:
    """Write folder/step-N with one safetensors file per group and state.json, then delete all but the last `keep` and
    the best by state["score"].

    It is written under a temporary name, flushed, and renamed: a reader never sees a partial one. Raises
    CheckpointError if it cannot be written; earlier checkpoints stay."""
    final = folder / f"step-{step:08d}"
    draft = folder / f".{final.name}.{uuid.uuid4().hex}"
    try:
        draft.mkdir(parents=True)
        for name, group in tensors.items():
            save_file(
                {k: v.detach().cpu().contiguous().clone() for k, v in group.items()}, draft / f"{name}.safetensors"
            )
        (draft / "state.json").write_text(json.dumps({**state, "groups": list(tensors)}, indent=1))
        for file in draft.iterdir():
            flush(file)
        if final.exists():  # a resumed run that repeats this step
            shutil.rmtree(final)
        draft.rename(final)
        flush(folder)
    except (OSError, SafetensorError) as error:
        last = latest(folder)
        raise CheckpointError(
            f"{final}: cannot be written: {error}. Free disk space or choose another folder, then continue with "
            f"--resume{f' from {last.name}' if last else ''}."
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    found = complete(folder)
    kept = {*found[-keep:], *(ranked(found, best)[: best.keep] if best else ())}
    for old in found:
        if old not in kept:
            shutil.rmtree(old)
    return final


def remove_drafts(folder: Path) -> None:
    """Remove partial checkpoints of killed processes. The caller must hold the lock of the run's folder."""
    for draft in folder.glob(".step-*"):
        shutil.rmtree(draft, ignore_errors=True)


def complete(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first."""
    return sorted(p for p in folder.glob("step-*") if NAME.match(p.name)) if folder.is_dir() else []


def ranked(paths: Iterable[Path], best: Best) -> list[Path]:
    """The checkpoints with a score by this metric, best first; the earlier one of equals. Damaged ones are skipped."""
    scores: dict[Path, float] = {}
    for path in paths:
        with suppress(CheckpointError):
            state = read_state(path)
            score = state.get("score")
            if state.get("metric") == best.metric and score is not None and math.isfinite(score):
                scores[path] = float(score)
    return sorted(scores, key=lambda p: scores[p] if best.mode == "min" else -scores[p])


def latest(folder: Path) -> Path | None:
    """The newest checkpoint, or None."""
    return (complete(folder) or [None])[-1]


def check(path: Path, recipe: Recipe) -> None:
    """Check, without reading tensors, that a checkpoint is complete and belongs to this recipe.

    Raises CheckpointError."""
    state, planned = read_state(path), sum(stage.steps for stage in recipe.stages)
    total, groups = state["total"], state.get("groups") or ["model"]
    if f"step-{total:08d}" != path.name or total > planned:
        raise CheckpointError(f"{path}: state.json says step {total} of {planned}. {ANOTHER}")
    if (sources := state.get("sources", {}).keys()) != recipe.sources.keys():
        wanted = ", ".join(recipe.sources)
        raise CheckpointError(f"{path}: state.json is of the sources {', '.join(sources)}, not {wanted}. {ANOTHER}")
    for name in groups:
        file = path / f"{name}.safetensors"
        try:
            with safe_open(file, "pt"):
                pass
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"{file}: cannot be read: {error}. {ANOTHER}") from None


def read_state(path: Path) -> dict[str, Any]:
    """state.json of a checkpoint. Raises CheckpointError if it is invalid."""
    try:
        return checked((path / "state.json").read_bytes(), State)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: state.json cannot be read: {error}. {ANOTHER}") from None


def read_tensors(path: Path, name: str) -> dict[str, Tensor]:
    """One group of tensors of a checkpoint."""
    try:
        return load_file(path / f"{name}.safetensors")
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}/{name}.safetensors cannot be read: {error}. {ANOTHER}") from None


def load_weights(module: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Copy tensors into a module. Raises CheckpointError that lists missing and unexpected tensors, and wrong
    shapes."""
    own = module.state_dict()
    problems = [f"missing {k}" for k in own if k not in tensors] + [f"unknown {k}" for k in tensors if k not in own]
    for k in own.keys() & tensors.keys():
        if own[k].dtype != tensors[k].dtype:
            problems.append(f"{k} is {tensors[k].dtype}, the model has {own[k].dtype}")
        if own[k].shape != tensors[k].shape:
            problems.append(f"{k} is {tuple(tensors[k].shape)}, the model has {tuple(own[k].shape)}")
    if problems:
        shown = "; ".join(sorted(problems)[:5]) + (f"; and {len(problems) - 5} more" if len(problems) > 5 else "")
        raise CheckpointError(f"{where}: belongs to another model: {shown}. Use the recipe that it was made with.")
    module.load_state_dict(dict(tensors))


def optimizer_tensors(optimizer: torch.optim.Optimizer, names: Mapping[Any, str]) -> dict[str, Tensor]:
    """The optimizer's full state as 'parameter|entry' -> tensor. A collective call."""
    return {
        f"{names[p]}|{entry}": whole(torch.as_tensor(value))
        for p, state in optimizer.state.items()
        for entry, value in state.items()
        if value is not None
    }


def load_optimizer(optimizer: torch.optim.Optimizer, names: Mapping[Any, str], tensors: Mapping[str, Tensor]) -> None:
    """Restore the saved state; each tensor is moved to its parameter's device, counters stay on the CPU.

    Raises CheckpointError if it is the state of another optimizer or of other parameters."""
    by_name = {name: p for p, name in names.items()}
    wanted = {"momentum_buffer"} if isinstance(optimizer, torch.optim.SGD) else {"step", "exp_avg", "exp_avg_sq"}
    for key, value in tensors.items():
        name, _, entry = key.rpartition("|")
        if name not in by_name:
            raise CheckpointError(
                f"optimizer state of {name!r} has no parameter here. Use the recipe that it was made with."
            )
        parameter = by_name[name]
        if entry not in wanted or (entry != "step" and value.shape != parameter.shape):
            raise CheckpointError(
                f"optimizer state of {name!r}: found {entry}, {tuple(value.shape)}; {type(optimizer).__name__} has "
                f"{', '.join(sorted(wanted))}, {tuple(parameter.shape)}. Use the recipe that it was made with."
            )
        moved = value if entry == "step" else part_like(value.to(parameter.device), parameter)
        optimizer.state[parameter][entry] = moved.clone()
    for parameter, state in optimizer.state.items():
        if state.keys() != wanted:
            raise CheckpointError(
                f"optimizer state of {names[parameter]!r} lacks {', '.join(sorted(wanted - state.keys()))}. {ANOTHER}"
            )
