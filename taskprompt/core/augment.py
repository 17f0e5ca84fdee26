"""Augment: augmentation of training clips."""

from pydantic import Field, field_validator

from taskprompt.core.errors import SpecError
from taskprompt.core.spec import Spec


class Augment(Spec):
    """Augmentation of training clips, applied to labels too. Held-out clips are resized and centre-cropped."""

    jitter: bool = True  # a random part of the video each time; false: always its middle, as for held-out clips
    scale: tuple[float, float] = (0.6, 1.0)  # range of the crop's side, relative to the largest crop that fits
    flip: float = Field(default=0.5, ge=0, le=1)  # probability of a horizontal flip, if source and label allow it
    brightness: float = Field(default=0.0, ge=0)  # factor drawn from 1 +- this, once per clip
    contrast: float = Field(default=0.0, ge=0)  # factor, as for brightness
    saturation: float = Field(default=0.0, ge=0)  # factor, as for brightness
    hue: float = Field(default=0.0, ge=0, le=0.5)  # largest rotation of the hue, in turns
    grey: float = Field(default=0.0, ge=0, le=1)  # probability of conversion to grey
    noise: float = Field(default=0.0, ge=0)  # std of pixel noise, of 255; drawn from 0 to this, once per clip

    @property
    def still(self) -> bool:
        """Whether it leaves every clip unchanged."""
        return self.scale == (1.0, 1.0) and not any(v for n, v in self if n != "scale")

    @field_validator("scale")
    @classmethod
    def _ordered(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 < value[0] <= value[1] <= 1:
            raise SpecError(f"found {value}, expected two numbers with 0 < low <= high <= 1.")
        return value
