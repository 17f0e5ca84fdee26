"""LabelFile: the declaration of label files in a recipe."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from taskprompt.core.errors import SpecError
from taskprompt.core.spec import Spec
from taskprompt.sources._folder.pattern import fields

SUFFIXES = (".png", ".npz", ".npy", ".json")


class LabelFile(Spec):
    """Path and format of a label file. Row i of a file belongs to frame i of the video, unless `times` is given.

    A clip without the file has no such label. Lists of boxes may differ in length from frame to frame, and may be
    empty; null in a json means unknown. A clip whose label violates the conventions of its form (corners in another
    order, relative coordinates for pixels, colours for normals) is skipped, with the likely reason."""

    form: Literal["map", "vectors", "boxes", "points", "joints", "camera", "value"]  # see taskprompt.core.types
    file: str  # relative to the clip's folder: "{stem}.depth.npz", "../depth/{stem}/{frame:05d}.png"
    key: str | None = None  # array of an npz, entry of a json; null: the only array, the whole json
    times: str | None = None  # entry of the same file with each row's seconds; the nearest row is used
    first: int = Field(default=0, ge=0)  # number {frame} of the first frame
    scale: float | None = Field(default=None, gt=0)  # map, joints: metres per stored unit, such as 0.001
    invalid: float | None = None  # stored value for unknown; for vectors, boxes, ...: if all numbers have it
    box: Literal["xyxy", "xywh", "cxcywh"] = "xyxy"  # boxes: two corners; corner and size (COCO); centre and size
    relative: bool = False  # boxes and points: coordinates relative to the frame's size, 0 to 1, not in pixels
    resize: bool = False  # scale maps and vectors to the frames' size; else clips with another size are skipped
    framed: bool = False  # value: the file has one entry per frame
    swap: tuple[tuple[int, int], ...] = ()  # points and joints: pairs that a flip exchanges

    @field_validator("file")
    @classmethod
    def _is_pattern(cls, value):
        try:
            known = set(fields(value)) <= {"stem", "name", "frame"}
        except ValueError:
            known = False
        if not known:
            what = "only {stem}, {name} (with its suffix) and {frame}, or {frame:05d}, are filled in"
            raise SpecError(f"found {value!r}; {what}.")
        if not value.endswith(SUFFIXES):
            raise SpecError(f"found {value!r}; expected a file that ends in {', '.join(SUFFIXES)}.")
        return value

    @field_validator("swap")
    @classmethod
    def _pairs(cls, value):
        if any(a < 0 or b < 0 or a == b for a, b in value):
            raise SpecError(f"found {value}; expected pairs of two different numbers from 0 on.")
        return value

    @model_validator(mode="after")
    def _fits(self):
        if self.file.endswith(".png") and self.form != "map":
            raise SpecError(f"form {self.form!r} cannot be read from a png; use npz, npy or json.")
        for field, forms in (
            ("swap", ("points", "joints")),
            ("scale", ("map", "joints")),
            ("resize", ("map", "vectors")),
            ("relative", ("boxes", "points")),
            ("framed", ("value",)),
        ):
            if getattr(self, field) and self.form not in forms:
                raise SpecError(f"`{field}` has no meaning for the form {self.form!r}, only for {', '.join(forms)}.")
        if self.box != "xyxy" and self.form != "boxes":
            raise SpecError(f"`box` has no meaning for the form {self.form!r}, only for boxes.")
        if self.times and (self.by_frame or self.file.endswith(".png")):
            raise SpecError("`times` has no meaning for one file per frame.")
        return self

    @property
    def by_frame(self) -> bool:
        """Whether there is one file per frame."""
        return "frame" in fields(self.file)

    @property
    def in_pixels(self) -> bool:
        """Whether the label is spatial, so that it depends on the frames' size."""
        return self.form in ("map", "vectors", "boxes", "points", "camera")
