"""Sample -> Sample of the clip's height and width; labels are transformed too, with the same parameters for all
frames."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from taskprompt.core.augment import Augment
from taskprompt.core.clip import ClipSpec
from taskprompt.core.errors import LayoutError
from taskprompt.core.types import Sample
from taskprompt.video.container import square
from taskprompt.video.geometry import View, check_labels, move_labels


def augment(
    sample: Sample,
    clip: ClipSpec,
    spec: Augment | None = None,
    rng: np.random.Generator | None = None,
    allow_flip: bool = True,
) -> Sample:
    """Crop, scale, flip and colour-jitter a sample at random; without spec or rng: the largest centre crop.

    A clip is flipped only if `allow_flip` (the source) and the sample (`flip_sensitive` False) allow it. Colour changes
    and noise affect only pixels. Raises SampleError for a label that does not match the frames, and LayoutError if the
    source gave a wrong number of frames."""
    frames, height, width = sample.clip.video.shape[:3]
    if frames != clip.frames:
        raise LayoutError(f"{sample.key}: the source gave {frames} frames, the clip has {clip.frames}. Fix its `load`.")
    check_labels(sample)
    view = largest(height, width, clip.height, clip.width)
    if spec is not None and rng is not None:
        view = drawn(view, height, width, spec, rng, allow_flip and not sample.flip_sensitive)
    video = look(sample.clip.video, view)
    if spec is not None and rng is not None:
        video = _coloured(video, spec, rng)
    pixels = np.ascontiguousarray(video.permute(0, 2, 3, 1).numpy())
    return replace(sample, clip=replace(sample.clip, video=pixels), labels=move_labels(sample.labels, view))


def squared(sample: Sample) -> Sample:
    """Stretch a sample with non-square pixels, and its labels, to square pixels; no side becomes shorter.

    Labels are in stored pixels. Raises SampleError for one that does not match the frames."""
    if sample.clip.aspect == 1:
        return sample
    height, width = sample.clip.video.shape[1:3]
    check_labels(sample)
    new_width, new_height = square(width, height, Fraction(sample.clip.aspect).limit_denominator(1000))
    view = View(0, 0, width, height, new_width, new_height)
    pixels = np.ascontiguousarray(look(sample.clip.video, view).permute(0, 2, 3, 1).numpy())
    return replace(sample, clip=replace(sample.clip, video=pixels, aspect=1.0), labels=move_labels(sample.labels, view))


def largest(height: int, width: int, out_height: int, out_width: int) -> View:
    """The largest centred window with the output's aspect ratio."""
    scale = min(height / out_height, width / out_width)
    tall, wide = max(1, round(out_height * scale)), max(1, round(out_width * scale))
    return View((width - wide) // 2, (height - tall) // 2, wide, tall, out_width, out_height)


def drawn(view: View, height: int, width: int, spec: Augment, rng: np.random.Generator, allow_flip: bool) -> View:
    """A random crop and flip; always uses the same number of random draws."""
    scale, across, down, coin = rng.uniform(*spec.scale), rng.random(), rng.random(), rng.random()
    wide, tall = max(1, round(view.width * scale)), max(1, round(view.height * scale))
    left, top = int(across * (width - wide + 1)), int(down * (height - tall + 1))
    return View(left, top, wide, tall, view.out_width, view.out_height, allow_flip and bool(coin < spec.flip))


def look(video: np.ndarray, view: View) -> Tensor:
    """t h w 3 uint8 -> t 3 h w, transformed by the view: cropped, then scaled with anti-aliasing."""
    part = video[:, view.top : view.top + view.height, view.left : view.left + view.width]
    pixels = torch.from_numpy(np.ascontiguousarray(part)).permute(0, 3, 1, 2)
    pixels = F.resize(pixels, [view.out_height, view.out_width], antialias=True)
    return F.horizontal_flip(pixels) if view.flip else pixels


def _coloured(video: Tensor, spec: Augment, rng: np.random.Generator) -> Tensor:
    """t 3 h w uint8 -> the same, with colour jitter and noise. Rounded once, after all changes."""
    if not any((spec.brightness, spec.contrast, spec.saturation, spec.hue, spec.grey, spec.noise)):
        return video
    pixels = video.float().div_(255)
    for change, amount in (
        (F.adjust_brightness, spec.brightness),
        (F.adjust_contrast, spec.contrast),
        (F.adjust_saturation, spec.saturation),
    ):
        if amount:
            pixels = change(pixels, max(0.0, rng.uniform(1 - amount, 1 + amount)))
    if spec.hue:
        pixels = F.adjust_hue(pixels, rng.uniform(-spec.hue, spec.hue))
    if spec.grey and rng.random() < spec.grey:
        pixels = F.rgb_to_grayscale(pixels, num_output_channels=3)
    pixels = pixels * 255
    if spec.noise:
        normal = torch.Generator().manual_seed(int(rng.integers(1 << 63)))  # three times as fast as NumPy's
        pixels.add_(torch.randn(pixels.shape, generator=normal), alpha=rng.uniform(0, spec.noise))
    return pixels.round_().clamp_(0, 255).to(torch.uint8)
