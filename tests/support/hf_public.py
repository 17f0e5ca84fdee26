"""transformers' own video models, small, with drawn weights, and what their classifiers or encoders answer."""

from typing import Any

import torch
import transformers as tf
from drawn import drawn
from torch import Tensor

SMALL = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4}
WIDE = {**SMALL, "intermediate_size": 128}
MODELS = {  # model type -> what is changed of its configuration, transformers' classifier, and the clip in its words
    "videomae": (WIDE | {"patch_size": 8}, tf.VideoMAEForVideoClassification, {"num_frames": 4, "image_size": 32}),
    "timesformer": (
        WIDE | {"patch_size": 8},
        tf.TimesformerForVideoClassification,
        {"num_frames": 4, "image_size": 32},
    ),
    "vivit": (WIDE | {"tubelet_size": [2, 8, 8]}, tf.VivitForVideoClassification, {"num_frames": 4, "image_size": 32}),
    "vjepa2": (
        SMALL | {"patch_size": 8, "pred_hidden_size": 24, "pred_num_attention_heads": 2, "pred_num_hidden_layers": 1},
        tf.VJEPA2ForVideoClassification,
        {"frames_per_clip": 4, "crop_size": 32},
    ),
    "xclip": (
        WIDE | {"patch_size": 8, "mit_hidden_size": 16},
        tf.XCLIPVisionModel,
        {"num_frames": 4, "image_size": 32},
    ),
}


def theirs_of(model):
    """transformers' own model of a type, small, with drawn weights."""
    changes, classifier, shape = MODELS[model]
    torch.manual_seed(3)
    return drawn(classifier(classifier.config_class(**changes, **shape, num_labels=5)))


def config_of(model: str) -> dict[str, Any]:
    """What is changed of its configuration."""
    return MODELS[model][0]


def answer_of(model: str, theirs: Any, pixels: Tensor) -> Tensor:
    """b t c h w -> logits; of V-JEPA 2, whose classifier has blocks of its own, and of X-CLIP the encoder's summary."""
    if model == "vjepa2":
        return theirs.vjepa2.get_vision_features(pixels).mean(1)
    if model == "xclip":
        return theirs(pixels.flatten(0, 1)).pooler_output.unflatten(0, pixels.shape[:2]).mean(1)
    return theirs(pixels).logits
