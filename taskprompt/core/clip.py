"""ClipSpec: how a clip is sampled from a video. ClipView: a clip that a label-free task samples for itself."""

import math
from dataclasses import dataclass
from typing import Any

from pydantic import Field, model_validator

from taskprompt.core.errors import SpecError
from taskprompt.core.spec import Spec

MOST_BYTES = 1 << 32  # of a clip's pixels


class ClipSpec(Spec):
    """How a clip is sampled from a video: frames, size and frame rate of the model's input."""

    frames: int = Field(default=16, ge=1, le=10_000)  # frames of a clip
    height: int = Field(default=224, ge=8, le=16_384)  # pixels
    width: int = Field(default=224, ge=8, le=16_384)  # pixels
    fps: float | None = Field(
        default=7.5, ge=1e-3, le=10_000
    )  # frames per second of the clip; null: spread over the whole video
    formats: tuple[str, ...] = ()  # additional FFmpeg demuxers and decoders to allow

    @model_validator(mode="after")
    def _fits_memory(self) -> "ClipSpec":
        if (size := 3 * self.frames * self.height * self.width) > MOST_BYTES:
            raise SpecError(f"a clip of {size / 2**30:.0f} GiB, expected {MOST_BYTES >> 30} at most. Show less of it.")
        return self


@dataclass(frozen=True, slots=True)
class ClipView:
    """A clip that a label-free task samples for itself: a separate row of the batch, of the clip's shape.

    It comes from the same video as the clip, at another random time. All views of a clip for one task have the same
    crop, flip and colour changes, so that these do not distinguish views. Raises SpecError for a span that is not a
    positive number."""

    label: Any = None  # passed to the task's `target` as the label of this view
    span: float = 1.0  # duration relative to the clip's: 2 is twice as fast. Values other than 1 need `clip.fps`
    frames: tuple[int, ...] | None = None  # numbers of the frames to show, in this order; None: all in their order
    whole: bool = False  # omit the view if the video is too short for it, instead of repeating the last frame

    def __post_init__(self):
        if not (math.isfinite(self.span) and self.span > 0):
            raise SpecError(f"ClipView.span: found {self.span}, expected a number above 0.")

    def spec(self, clip: ClipSpec) -> ClipSpec:
        """The ClipSpec to read the view with. Raises SpecError for a span or frames that do not fit the clip."""
        if self.frames is not None and (
            len(self.frames) != clip.frames or not all(0 <= i < clip.frames for i in self.frames)
        ):
            raise SpecError(
                f"ClipView.frames: found {self.frames}, expected {clip.frames} numbers from 0 to {clip.frames - 1}."
            )
        if self.span == 1:
            return clip
        if clip.fps is None:
            raise SpecError("ClipView.span: needs `clip.fps`: a clip that is spread over its video has no speed.")
        return clip.model_copy(update={"fps": clip.fps / self.span})
