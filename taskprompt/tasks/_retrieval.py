"""Retrieval: a meter of recall at k over the whole set, from captions to clips and back.

Import it lazily: torchmetrics takes seconds to import, and data workers do not need it."""

from collections.abc import Callable

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

BEST = (1, 5)


class Retrieval(Metric):
    """`pair(output, target)` -> m d of clips, m d of captions, ranked by dot products. Equal texts are all correct."""

    clips: list[Tensor] | Tensor
    captions: list[Tensor] | Tensor
    texts: list[Tensor] | Tensor

    def __init__(self, pair: Callable[[Tensor, dict[str, Tensor]], tuple[Tensor, Tensor]]):
        super().__init__()
        self.pair = pair
        for name in ("clips", "captions", "texts"):
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(self, output: Tensor, target: dict[str, Tensor]) -> None:
        """m ..., m ...: add m samples."""
        for name, part in zip(("clips", "captions"), self.pair(output, target), strict=True):
            getattr(self, name).append(part)
        assert isinstance(self.texts, list)  # a list until the reduction
        self.texts.append(target["text"])

    def compute(self) -> dict[str, Tensor]:
        """t2v: from captions to clips; v2t: from clips to captions. R1_chance: chance. In 0..1; NaN without clips."""
        if not len(self.texts):
            return {name: torch.tensor(torch.nan) for name in ("t2v_R1", "t2v_R5", "v2t_R1", "v2t_R5", "R1_chance")}
        clips, captions, texts = (dim_zero_cat(x) for x in (self.clips, self.captions, self.texts))
        right = texts[:, None] == texts
        scores = captions @ clips.mT
        found = {}
        for way, ranked in (("t2v", scores), ("v2t", scores.mT)):
            for k in BEST:
                best = ranked.topk(min(k, len(texts)), 1).indices
                found[f"{way}_R{k}"] = right.gather(1, best).any(1).double().mean()
        return found | {"R1_chance": right.double().mean()}
