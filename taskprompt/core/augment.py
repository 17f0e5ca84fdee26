"""Augment: what is done to training clips."""

from pydantic import Field, field_validator

from taskprompt.core.errors import SpecError
from taskprompt.core.spec import Spec


class Augment(Spec):
    """What is done to training clips; labels move with the pixels. Held-out clips are resized and centre-cropped."""

    jitter: bool = True  # the part of a video is drawn anew each time; false: its middle, as of held-out clips
    scale: tuple[float, float] = (0.6, 1.0)  # side of the crop, as a share of the largest one that fits
    flip: float = Field(default=0.5, ge=0, le=1)  # chance of a mirror image, where the source and the label allow it
    brightness: float = Field(default=0.0, ge=0)  # factor drawn from 1 +- this, one a clip; likewise below
    contrast: float = Field(default=0.0, ge=0)  # factor, as for brightness
    saturation: float = Field(default=0.0, ge=0)  # factor, as for brightness
    hue: float = Field(default=0.0, ge=0, le=0.5)  # turns of the colour circle
    grey: float = Field(default=0.0, ge=0, le=1)  # chance of losing all colour
    noise: float = Field(default=0.0, ge=0)  # deviation of noise a pixel, of 255; drawn from 0 to this, one a clip

    @property
    def still(self) -> bool:
        """Does it leave every clip as it is?"""
        return self.scale == (1.0, 1.0) and not any(v for n, v in self if n != "scale")

    @field_validator("scale")
    @classmethod
    def _ordered(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 < value[0] <= value[1] <= 1:
            raise SpecError(f"found {value}, expected two numbers with 0 < low <= high <= 1.")
        return value
