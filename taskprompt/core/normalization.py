"""Mean and std of a checkpoint, from the files that are published with it."""

import json
import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from taskprompt.core.errors import SpecError
from taskprompt.core.values import is_mapping, is_sequence

RGB = tuple[float, float, float]
LARGEST = 1 << 20  # bytes of a configuration
NOTE = "taskprompt"  # in the metadata of safetensors that `convert` wrote


@dataclass(frozen=True, slots=True)
class Normalization:
    """x in 0..1 becomes (x - mean) / std, channel by channel."""

    mean: RGB
    std: RGB
    where: str  # the file or library that states it

    def text(self) -> str:
        """mean [0.5, 0.5, 0.5], std [0.5, 0.5, 0.5]."""
        return f"mean {_shown(self.mean)}, std {_shown(self.std)}"


def beside(path: str | Path) -> Normalization | None:
    """The normalisation of a checkpoint: from `convert`'s metadata, its run, or a configuration in its folder.

    None if there is none. Raises SpecError for an invalid mean or std."""
    path = Path(path).expanduser()
    try:
        folder = path if path.is_dir() else path.parent
        return (_in_safetensors(path) if path.is_file() else None) or _of_run(path) or in_folder(folder)
    except OSError:  # reported when the checkpoint itself is read
        return None


def in_folder(folder: str | Path) -> Normalization | None:
    """From the configurations of transformers, open_clip and timm in a folder. Raises SpecError like `beside`."""
    for name, read in _READERS.items():
        data = _load(Path(folder, name), json.loads)
        if is_mapping(data) and (found := read(data, name)) is not None:
            return found
    return None


def of_processor(data: Mapping[str, Any], where: str) -> Normalization | None:
    """transformers' configuration of an image or video processor, which scales 0..255, shifts, and normalises.

    Raises SpecError."""
    inner = next((data[n] for n in ("video_processor", "image_processor") if is_mapping(data.get(n))), data)
    normalises = inner.get("do_normalize") is not False
    if normalises and not ("image_mean" in inner and "image_std" in inner):
        return None
    mean = _rgb(inner["image_mean"], f"{where}: image_mean") if normalises else (0.0, 0.0, 0.0)
    std = _rgb(inner["image_std"], f"{where}: image_std") if normalises else (1.0, 1.0, 1.0)
    factor = inner.get("rescale_factor", 1 / 255) if inner.get("do_rescale") is not False else 1
    (factor, *_), shift = _rgb(factor, f"{where}: rescale_factor"), float(inner.get("offset") is True)
    if (factor, shift) == (1 / 255, 0):
        return _checked(mean, std, where)
    # (255 f x - shift - mean) / std, where x is in 0..1
    scale = 255 * factor
    if scale <= 0:
        raise SpecError(f"{where}: rescale_factor is {factor}, expected a number above 0.")
    means, stds = ([round(v / scale, 9) for v in values] for values in ([shift + m for m in mean], std))
    shifted = f", rescale_factor {factor:.6g}{', offset' if shift else ''}"
    said = f"{where} (image_mean {_shown(mean)}, image_std {_shown(std)}{shifted})"
    return _checked(_rgb(means, where), _rgb(stds, where), said)


def of_mapping(data: Any, where: str) -> Normalization | None:
    """`mean` and `std` of a dictionary, as in timm, open_clip and taskprompt. Raises SpecError."""
    if not is_mapping(data) or data.get("mean") is None or data.get("std") is None:
        return None
    return _checked(_rgb(data["mean"], f"{where}: mean"), _rgb(data["std"], f"{where}: std"), where)


def _of_timm(data: Mapping[str, Any], where: str) -> Normalization | None:
    return of_mapping(data.get("pretrained_cfg"), where) or (
        of_mapping(data, where) if "architecture" in data else None
    )


_READERS: dict[str, Callable[[Mapping[str, Any], str], Normalization | None]] = {
    "video_preprocessor_config.json": of_processor,
    "preprocessor_config.json": of_processor,
    "processor_config.json": of_processor,
    "open_clip_config.json": lambda data, where: of_mapping(data.get("preprocess_cfg"), where),
    "config.json": _of_timm,
}


def files_beside(path: str | Path) -> list[Path]:
    """The files in a checkpoint's folder that `beside` may read."""
    path = Path(path).expanduser()
    folder = path if path.is_dir() else path.parent
    run = run_of(path)
    return [
        file for file in (*([run / "recipe.yaml"] if run else []), *(folder / n for n in _READERS)) if file.is_file()
    ]


def run_of(path: str | Path) -> Path | None:
    """The folder of the run that a checkpoint belongs to. path: the folder itself, its checkpoints/step-N, or a file in
    that. None for other checkpoints."""
    path = Path(path).expanduser()
    if path.is_dir() and (path / "recipe.yaml").is_file() and (path / "checkpoints").is_dir():
        return path
    step = (path if path.is_dir() else path.parent).absolute()
    run = step.parent.parent
    return run if step.parent.name == "checkpoints" and (run / "recipe.yaml").is_file() else None


def _of_run(path: Path) -> Normalization | None:
    run = run_of(path)
    data = _load(run / "recipe.yaml", yaml.safe_load) if run else None
    return of_mapping(data.get("backbone"), "the recipe of its run") if is_mapping(data) else None


def _in_safetensors(path: Path) -> Normalization | None:
    with open(path, "rb") as file:
        start = file.read(9)
        if start[8:] != b"{" or (length := struct.unpack("<Q", start[:8])[0]) > 100 * LARGEST:
            return None
        header = start[8:] + file.read(length - 1)
    try:
        note = json.loads(json.loads(header)["__metadata__"][NOTE])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return of_mapping(note, "the file, which `convert` wrote,")


def _load(path: Path, parse: Callable[[str], Any]) -> Any:
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > LARGEST:
            raise SpecError(f"{path}: is larger than any configuration.")
        return parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        if isinstance(error, SpecError):
            raise
        raise SpecError(f"{path}: cannot be read as a configuration. Copy it again, or remove it.") from None


def _checked(mean: RGB, std: RGB, where: str) -> Normalization:
    if min(std) <= 0:
        raise SpecError(f"{where}: found std {_shown(std)}, expected numbers above 0. Set backbone.mean and std.")
    return Normalization(mean, std, where)


def _rgb(value: Any, where: str) -> RGB:
    """Three numbers, or one for all three channels."""
    numbers = [*value] if is_sequence(value) else [value]
    numbers = numbers * 3 if len(numbers) == 1 else numbers
    for number in numbers[:3]:
        if isinstance(number, bool) or not isinstance(number, (int, float)) or not abs(number) < 1e9:
            numbers = []
            break
    if len(numbers) != 3 or not all(map(math.isfinite, numbers)):
        raise SpecError(f"{where}: found {str(value)[:60]}, expected three numbers. Set backbone.mean and std.")
    red, green, blue = map(float, numbers)
    return red, green, blue


def _shown(values: RGB) -> str:
    return f"[{', '.join(f'{value:.6g}' for value in values)}]"
