"""A run's model, made ready for evaluation and prediction as `runtime` of its recipe says."""

import torch

from taskprompt.core.model import MultiTaskModel
from taskprompt.runs.run import Run


def load_model(run: Run, device: torch.device) -> MultiTaskModel:
    """The trained model in eval mode on a device, its encoder compiled where `runtime.compile` says so."""
    model = run.model().to(device)
    if run.recipe.runtime.compile:
        model.encoder.compile()
    return model
