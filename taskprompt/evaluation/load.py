"""Loading a run's model for evaluation and prediction, with the settings of its recipe's `runtime`."""

import torch

from taskprompt.core.model import MultiTaskModel
from taskprompt.runs.run import Run


def load_model(run: Run, device: torch.device) -> MultiTaskModel:
    """The trained model in eval mode on a device; its encoder is compiled if `runtime.compile` is set."""
    model = run.model().to(device)
    if run.recipe.runtime.compile:
        model.encoder.compile()
    return model
