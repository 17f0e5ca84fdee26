"""check_prompter: the requirements of prompters, on a given backbone, clip shape and numbers of prompts."""

import dataclasses
import json
import pickle
from collections.abc import Mapping

import torch

from taskprompt.core.clip import ClipSpec
from taskprompt.core.model import Backbone, Prompter
from taskprompt.testing.backbone import seeded_encoder

BATCH = 2


def check_prompter(prompter: Prompter, backbone: Backbone, clip: ClipSpec, prompts: Mapping[str, int]) -> None:
    """Check a prompter for tasks with these numbers of prompts. It must fill the prompts of all such tasks, or of none.

    Raises AssertionError with the violated requirement, or the prompter's own error."""
    again = Prompter.model_validate(json.loads(json.dumps(prompter.model_dump(mode="json"))))
    assert again == prompter, f"the spec changes in a round trip through JSON: {prompter} became {again}"
    pickle.dumps(prompter)  # raises if it cannot be sent to a worker
    assert any(prompts.values()), "give check_prompter at least one task that owns a prompt"
    _check_filled(prompter, backbone, clip, dict(prompts))
    _check_filled(prompter, backbone, clip, dict.fromkeys(prompts, 0))


def _check_filled(prompter: Prompter, backbone: Backbone, clip: ClipSpec, prompts: dict[str, int]) -> None:
    dims = dataclasses.replace(backbone.dims(clip), prompts=prompts)
    encoder, module = seeded_encoder(backbone, clip).requires_grad_(False), prompter.build(dims).eval()
    draw = torch.Generator().manual_seed(1)
    video = torch.randn(BATCH, clip.frames, clip.height, clip.width, 3, generator=draw)
    features = module(encoder, video)
    assert features.summary.shape == (BATCH, dims.dim), f"the summary is {tuple(features.summary.shape)}"
    assert features.patches.shape == (BATCH, *dims.grid, dims.dim), f"patches are {tuple(features.patches.shape)}"
    owned = {name for name, count in prompts.items() if count}
    assert set(features.prompts) in (owned, set()), f"prompts of {set(features.prompts)}, expected {owned}, or none"
    for name, prompt in features.prompts.items():
        found = tuple(prompt.shape)
        assert found == (BATCH, prompt.shape[1], dims.dim), f"the prompts of {name!r} are {found}, expected b n d"
        assert prompt.shape[1] > 0, f"{name!r} owns prompts and is given none"
    alone = module(encoder, video[:1]).prompts
    for name, prompt in features.prompts.items():
        gap = (prompt[:1] - alone[name]).abs().max()
        assert gap < 1e-4, f"the prompts of {name!r} depend on the other samples of the batch, by {gap:.2g}"
        assert (prompt[0] - prompt[1]).abs().max() > 0, f"the prompts of {name!r} are the same for two clips"
    _check_learns(dict(module.named_parameters()), [features.summary, features.patches, *features.prompts.values()])


def _check_learns(parameters: Mapping[str, torch.Tensor], outputs: list[torch.Tensor]) -> None:
    """Gradients of the features reach every parameter of the prompter, with the encoder frozen."""
    if not parameters:
        return
    draw = torch.Generator().manual_seed(2)
    torch.stack([(x * torch.rand(x.shape, generator=draw)).sum() for x in outputs]).sum().backward()
    for name, parameter in parameters.items():
        assert parameter.grad is not None, f"no gradient reaches {name}"
        assert parameter.grad.isfinite().all(), f"the gradient of {name} is not finite"
        assert parameter.grad.abs().max() > 0, f"the gradient of {name} is zero"
