"""FeatureCache: the features of a frozen encoder on disk, so that it runs only once per clip.

The cache key is a hash of the clip's pixels and of the encoder's weights, spec and data type, so cached features are
equal to computed ones. It is useless if the same pixels never occur again, so stages with random augmentation must not
use it."""

import hashlib
import uuid
from contextlib import suppress
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from taskprompt.core.clip import ClipSpec
from taskprompt.core.errors import CheckpointError, SpecError
from taskprompt.core.model import Backbone, Encoder, Prompts
from taskprompt.core.types import Features

EDITION = "features1"  # change it with every change of an encoder's output for the same weights


class FeatureCache:
    """The `feature_cache` of a MultiTaskModel: called instead of its encoder, with the original pixels."""

    def __init__(self, folder: str | Path, backbone: Backbone, clip: ClipSpec, encoder: Encoder):
        self.folder = Path(folder)
        digest = hashlib.blake2b(f"{EDITION} {backbone!r} {clip!r}".encode(), digest_size=16)
        for name, tensor in encoder.state_dict().items():
            digest.update(name.encode() + _bytes(tensor))
        self.name = digest.hexdigest()

    def __call__(
        self, encoder: Encoder, pixels: Tensor, video: Tensor, prompts: Prompts | None = None
    ) -> tuple[Features, None]:
        """b t h w c uint8, and the same normalised -> Features, read from disk if they are cached."""
        if prompts is not None:
            raise SpecError(
                "feature_cache: this prompter puts prompts into the encoder, so its features change during training. "
                "Remove feature_cache from the stage, or use the prompter processors or none."
            )
        files = self.files(pixels)
        found = {i: tensors for i, file in enumerate(files) if (tensors := _read(file, pixels.device)) is not None}
        missing = [i for i in range(len(files)) if i not in found]
        if missing:
            made = _tensors(encoder(video[missing])[0])
            for k, i in enumerate(missing):
                found[i] = {name: x[k] for name, x in made.items()}
                self._write(files[i], found[i])
        return _features({name: torch.stack([found[i][name] for i in range(len(files))]) for name in found[0]}), None

    def files(self, pixels: Tensor) -> list[Path]:
        """The cache files of the clips b t h w c uint8."""
        kind = pixels.device.type
        words = str(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else "torch.float32"
        home = self.folder / f"{self.name}-{words.removeprefix('torch.')}"
        keys = [hashlib.blake2b(_bytes(clip), digest_size=16).hexdigest() for clip in pixels.cpu()]
        return [home / key[:2] / f"{key[2:]}.safetensors" for key in keys]

    def _write(self, file: Path, tensors: dict[str, Tensor]) -> None:
        draft = file.with_name(f".{uuid.uuid4().hex}")  # renamed when complete: other workers read concurrently
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            save_file({name: x.detach().cpu().clone() for name, x in tensors.items()}, draft)
            draft.replace(file)
        except (OSError, SafetensorError) as error:
            with suppress(OSError):
                draft.unlink()
            raise CheckpointError(
                f"feature_cache: {self.folder} cannot be written: {error}. Free disk space there, then continue with "
                "--resume."
            ) from None


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()


def _read(file: Path, device: torch.device) -> dict[str, Tensor] | None:
    """None if it is missing or damaged; then it is computed again."""
    try:
        return load_file(file, str(device))
    except (OSError, SafetensorError):
        return None


def _tensors(features: Features) -> dict[str, Tensor]:
    levels = {f"level {i}": x for i, x in enumerate(features.levels)}
    return {"summary": features.summary, "patches": features.patches} | levels


def _features(tensors: dict[str, Tensor]) -> Features:
    levels = tuple(tensors[f"level {i}"] for i in range(len(tensors) - 2))
    return Features(tensors["summary"], tensors["patches"], {}, levels)
