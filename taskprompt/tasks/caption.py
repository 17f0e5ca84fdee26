"""Caption: contrastive alignment of a clip's prompt with the embedding of its caption (FTP, stage 1)."""

import math
import zlib
from typing import Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from taskprompt.core.errors import SampleError, SpecError
from taskprompt.core.metrics import Metric
from taskprompt.core.task import Array, Task
from taskprompt.core.types import Dims, Features
from taskprompt.nn.heads import prompt_or_summary
from taskprompt.tasks._labels import numbers

SHARPEST = 100.0  # largest scale of the logits, as in CLIP


class Caption(Task):
    """Clip and caption by symmetric InfoNCE among all clips of a step (FTP, stage 1). Output: m n width.

    The label is a caption with its embedding: {text: str, vectors: n width}, n = 1 if it is pooled. Equal captions are
    positives of each other. The learned scale of the logits is the length of the output."""

    needs_global_batch = True
    of_video = True
    layout = {"vectors": Array("context width"), "length": Array("", "int64"), "text": Array("", "int64")}
    width: int = Field(default=512, ge=1, le=65_536)  # of the text tower's embeddings
    granularity: Literal["clip", "token"] = "clip"  # one vector per clip; or token by token, in order
    context: int = Field(default=1, ge=1, le=10_000)  # most vectors per caption: 77 for CLIP's tokens; pooled: 1
    temperature: float = Field(default=0.07, gt=0.01)  # initial value; learned

    @model_validator(mode="after")
    def _tokens_to_compare(self) -> "Caption":
        if self.granularity == "clip" and self.context > 1:
            raise SpecError(
                f"context is {self.context} with granularity: clip, which uses one vector per caption. "
                "Set granularity: token, or remove context."
            )
        return self

    def target(self, label, sample):
        """Vectors, their number, and a hash of the text. Raises SampleError for a label of another form or width."""
        if not isinstance(label, dict) or not isinstance(label.get("text"), str) or "vectors" not in label:
            raise SampleError(
                f"found a label of the form {type(label).__name__}, expected {{text, vectors}}. "
                "Embed the captions with a labeler of kind text_embedding, and join its table."
            )
        vectors = np.atleast_2d(numbers(label["vectors"], "a text and its embedding by a text tower"))
        vectors = vectors.astype(np.float32)
        if vectors.ndim != 2 or vectors.shape[1] != self.width or len(vectors) == 0:
            raise SampleError(
                f"found embeddings of the shape {vectors.shape}, expected n x {self.width}. Set `width` to that of the "
                "text tower, or embed the captions again."
            )
        if not np.isfinite(vectors).all():
            raise SampleError("found an embedding that is not finite. Embed the captions again.")
        if len(vectors) > self.context:
            raise SampleError(f"found {len(vectors)} vectors, expected at most {self.context}. Raise `context`.")
        padded = np.zeros((self.context, self.width), np.float32)
        padded[: len(vectors)] = vectors
        return {"vectors": padded, "length": np.asarray(len(vectors)), "text": np.asarray(number(label["text"]))}

    def head(self, dims: Dims) -> nn.Module:
        """-> m n width: n is 1, or the number of prompt tokens with granularity: token."""
        return Projection(dims.dim, self.width, self.temperature, self.prompts if self.granularity == "token" else 0)

    def loss(self, output: Tensor, target: dict[str, Tensor]) -> Tensor:
        """Mean of the KL divergences from captions to clips and from clips to captions; 0 if matches get all weight."""
        logits = self._logits(output, target)
        same = (target["text"][:, None] == target["text"]).float()
        wanted = same / same.sum(1, keepdim=True)
        floor = same.sum(1).log()
        each = [-(wanted * x.log_softmax(1)).sum(1) - floor for x in (logits, logits.mT)]
        return (each[0] + each[1]) / 2

    def measures(self) -> tuple[Metric, ...]:
        """Recall over the set, from captions to clips (t2v) and back (v2t), and that of chance."""
        ranked = ("t2v_R1", "t2v_R5", "v2t_R1", "v2t_R5")
        return *(Metric(name, "", "max", over="set") for name in ranked), Metric("R1_chance", over="set")

    def meter(self):
        """Recall at 1 and 5 among all clips of the set, from captions to clips and back."""
        from taskprompt.tasks._retrieval import Retrieval

        return Retrieval(self._pair)

    def perfect(self, target: dict[str, Tensor]) -> Tensor | None:
        """m 1 width: the captions themselves, at the largest scale; None with granularity: token."""
        if self.granularity == "token":
            return None
        return SHARPEST * F.normalize(resampled(target["vectors"], target["length"], 1), dim=-1)

    def _logits(self, output: Tensor, target: dict[str, Tensor]) -> Tensor:
        """m m: clip i with caption j."""
        video, text = self._pair(output, target)
        return video @ text.mT

    def _pair(self, output: Tensor, target: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """m (n width) each: dot products of rows are the mean similarity of their n vectors, times the scale."""
        text = F.normalize(resampled(target["vectors"], target["length"], output.shape[1]), dim=-1)
        return output.flatten(1).float(), text.flatten(1) / output.shape[1]


class Projection(nn.Module):
    """m n d or None, Features -> m n width: a linear layer, normalised, times the learned scale.

    With tokens there is one vector per prompt; otherwise one for their mean, or for the summary without prompts."""

    def __init__(self, dim: int, width: int, temperature: float, tokens: int):
        super().__init__()
        self.tokens = tokens
        self.linear = nn.Linear(dim, width)
        self.log_scale = nn.Parameter(torch.tensor(-math.log(temperature)))

    def forward(self, prompt: Tensor | None, features: Features) -> Tensor:
        if prompt is None or not self.tokens:
            prompt = prompt_or_summary(prompt, features)[:, None].expand(-1, max(1, self.tokens), -1)
        vectors = self.linear(prompt).float()
        return F.normalize(vectors, dim=-1) * self.log_scale.clamp(max=math.log(SHARPEST)).exp()


def resampled(vectors: Tensor, length: Tensor, rows: int) -> Tensor:
    """m context width, m -> m rows width: the first `length` of each, linearly interpolated; one row: their mean."""
    if rows == 1:
        kept = torch.arange(vectors.shape[1], device=length.device) < length[:, None]
        return (vectors * kept[..., None]).sum(1, keepdim=True) / length[:, None, None]
    at = torch.linspace(0, 1, rows, device=length.device) * (length[:, None] - 1)
    below = at.floor().long()
    above = torch.minimum(below + 1, length[:, None] - 1)
    low, high = (torch.take_along_dim(vectors, i[..., None], 1) for i in (below, above))
    return torch.lerp(low, high, (at - below)[..., None])


def number(text: str) -> int:
    """A 32-bit hash of a text, ignoring whitespace and case."""
    return zlib.crc32(" ".join(text.split()).casefold().encode(errors="surrogatepass"))
