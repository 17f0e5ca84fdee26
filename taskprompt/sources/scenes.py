"""Scenes: clips rendered on the CPU with exact labels. A person in a room performs one of eleven actions."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field, field_validator

from taskprompt.core.clip import ClipSpec
from taskprompt.core.errors import SpecError, nearest
from taskprompt.core.moment import Middle, Moment
from taskprompt.core.source import Source
from taskprompt.core.types import Row, Sample
from taskprompt.sources._scenes.draw import draw
from taskprompt.sources._scenes.looks import Look
from taskprompt.sources._scenes.plan import ACTIONS
from taskprompt.sources._scenes.world import SEGMENTS as SEGMENTS  # the classes of the label `segmentation`
from taskprompt.video.store import read_sample, write_sample

if TYPE_CHECKING:
    import pyarrow as pa

EDITION = "scenes1"  # change it with every change of rendering, so that old clips in caches are not used

LABELS = (
    "action",  # str, one of `actions`
    "depth",  # Map t h w, metres along the camera's z
    "normal",  # Vectors t h w 3, towards the camera
    "segmentation",  # Map t h w, classes of SEGMENTS
    "boxes",  # Boxes t 8 4: the person; table and handled object, if any; other objects, nearest first
    "pose3d",  # Joints t 25 3, KinectV2 order
    "joints2d",  # Points t 25 2, NaN where hidden
    "camera",  # Camera t 3 3
    "text_category",  # str, ground-truth answers to FTP's four questions
    "text_components",
    "text_detail",
    "text_context",
)


class Scenes(Source):
    """Labelled clips of procedural motion, ray-cast by MuJoCo; the same seed gives the same clip on every machine.

    A clip has exactly ClipSpec.frames frames, spread over the whole action (1.6 seconds); ClipSpec.fps is ignored. No
    caption or action mentions left or right, so every clip may be flipped."""

    clips: int = Field(ge=1)  # number of clips
    seed: int = Field(0, ge=0)  # of the scenes
    size: int = Field(112, ge=16, le=4096)  # height and width of the rendered frames, in pixels
    actions: tuple[str, ...] = ACTIONS  # actions to render, balanced over the clips
    look: Look = "clean"  # worn: dim, pale, noisy and blurred, with vignetting; the same geometry
    cache: str | None = None  # folder of rendered clips: read if a clip is there, else written

    @field_validator("actions")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for action in value:
            if action not in ACTIONS:
                raise SpecError(f"no action {action!r}{nearest(action, ACTIONS)} Known: {', '.join(ACTIONS)}.")
        if not value or len(set(value)) < len(value):
            raise SpecError(f"found {list(value)}, expected one action or more, each once.")
        return value

    def own_labels(self) -> tuple[str, ...]:
        """All labels."""
        return LABELS

    def rows(self) -> Iterator[Row]:
        """key, index and action of each clip; every len(actions) consecutive clips have each action once."""
        n = len(self.actions)
        for start in range(0, self.clips, n):
            order = np.random.default_rng((self.seed, start)).permutation(n)
            for i in range(start, min(start + n, self.clips)):
                key = f"scenes-{self.look}/{self.seed}/{i}"
                yield {"key": key, "index": i, "action": self.actions[order[i - start]]}

    def values(self, table: "pa.Table") -> dict[str, Counter[str]]:
        """The actions."""
        return {"action": Counter(table["action"].to_pylist())}

    def load(self, row: Row, clip: ClipSpec, moment: Moment) -> Sample:
        """The clip of one row, rendered or read from the cache. It shows the whole scene and ignores `moment`."""
        name = self.stored_name(row, clip)
        if self.cache is not None and Path(self.cache, f"{name}.mov").exists():
            sample = read_sample(self.cache, name, self.kept_labels())
        else:
            sample = draw(row["key"], self.seed, row["index"], row["action"], self.look, clip.frames, self.size)
            if self.cache is not None:
                write_sample(self.cache, name, sample)
        return replace(sample, key=row["key"], labels={n: sample.labels[n] for n in self.kept_labels()})

    def draw_once(self, row: Row, clip: ClipSpec) -> bool:
        """Render a row into the cache unless it is there; returns whether it was rendered now."""
        if self.cache is None or Path(self.cache, f"{self.stored_name(row, clip)}.mov").exists():
            return False
        self.load(row, clip, Middle())
        return True

    def stored_name(self, row: Row, clip: ClipSpec) -> str:
        """The name of a row's clip in the cache: all parameters of the rendering, and EDITION."""
        where = f"{EDITION}-{self.look}-{self.seed}-{clip.frames}x{self.size}"
        return f"{where}/{row['index']:06d}-{row['action']}"
