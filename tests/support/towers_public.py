"""A folder of a small open_clip model, without weights."""

import json
from pathlib import Path
from typing import Any

SIZES = {"image_size": 32, "layers": 3, "width": 64, "patch_size": 8, "head_width": 32}
TEXT = {"context_length": 8, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}


def open_clip_folder(folder: Path, preprocess: dict[str, Any] | None = None, **sizes: Any) -> str:
    """What open_clip calls the model."""
    model = {"embed_dim": 24, "vision_cfg": SIZES | sizes, "text_cfg": TEXT, "quick_gelu": True}
    text = json.dumps({"model_cfg": model, "preprocess_cfg": preprocess or {}})
    (folder / "open_clip_config.json").write_text(text)
    return f"local-dir:{folder}"
