"""vlm_caption: answers of a vision-language model to questions about a clip's key frames (FTP)."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from taskprompt.core.clip import ClipSpec
from taskprompt.core.errors import SpecError
from taskprompt.core.labeler import Answer, Ask, Given, Labeler, Question, Streamed
from taskprompt.core.spec import Spec
from taskprompt.core.types import Sample
from taskprompt.labelers._answers import answer_of, check_schema
from taskprompt.labelers._engines.base import Complete, Query, Sampling
from taskprompt.labelers._engines.local import Vllm
from taskprompt.labelers._engines.remote import Server


class Prompt(Spec):
    """A question. In a recipe it may be given by its text only."""

    text: str = Field(min_length=1)  # the prompt, sent with the image
    max_tokens: int = Field(default=128, ge=1)  # of the answer
    json_schema: dict[str, Any] | None = None  # the answer must be JSON that follows it, else it is an error

    @model_validator(mode="after")
    def _a_schema(self) -> "Prompt":
        if self.json_schema is not None:
            check_schema(self.json_schema)
        return self


def _asked(value: Any) -> Any:
    return {"text": value} if isinstance(value, str) else value


Asked = Annotated[Prompt, BeforeValidator(_asked, json_schema_input_type=str | Prompt)]

# FTP, section 3.2: prompts A to D.
FOUR = {
    "text_category": Prompt(text="What is the action category?"),
    "text_components": Prompt(text="Describe the action components in the image."),
    "text_detail": Prompt(text="Describe the action in the image in detail."),
    "text_context": Prompt(text="Describe the context information."),
}


class VlmCaption(Labeler):
    """Captions by a vision-language model: one label per prompt, from key frames side by side in one image."""

    prompts: dict[str, Asked] = Field(default=FOUR, min_length=1)  # label -> its question; default: FTP's four
    keyframes: int = Field(default=5, ge=1)  # at equal intervals over the whole video; FTP tried 1, 3, 5, 7
    height: int = Field(default=224, ge=8)  # pixels of a key frame
    width: int = Field(default=224, ge=8)  # pixels of a key frame
    vllm: Vllm | None = None  # an engine on the actor; give this or `server`
    server: Server | None = None  # an OpenAI-compatible server
    sampling: Sampling = Sampling()  # sampling of answers

    @model_validator(mode="after")
    def _one_engine(self) -> "VlmCaption":
        if (self.vllm is None) == (self.server is None):
            found = "neither" if self.vllm is None else "both"
            raise SpecError(f"found {found} of `vllm` and `server`, expected one. Such as vllm: {{model: org/name}}.")
        return self

    @property
    def engine(self) -> Vllm | Server:
        """The given one."""
        return self.vllm or self.server  # type: ignore[return-value]

    def clip(self, clip: ClipSpec) -> ClipSpec:
        """The key frames, independent of the recipe's clips."""
        return ClipSpec(frames=self.keyframes, height=self.height, width=self.width, fps=None)

    def labels(self) -> tuple[str, ...]:
        """One per prompt; no file is read."""
        return tuple(self.prompts)

    def questions(self) -> tuple[Question, ...]:
        """One per prompt; its answer depends on the model, the prompt, the sampling, and the image size."""
        fixed = {
            **self.engine.identity(),
            "sampling": self.sampling.model_dump(),
            "picture": [self.keyframes, self.height, self.width],
        }
        return tuple(Question(name, fixed | prompt.model_dump()) for name, prompt in self.prompts.items())

    def build(self) -> Ask:
        """Start the engine."""
        complete = self.engine.start(self.sampling)
        return Streamed(lambda samples, wanted: self._stream(complete, samples, wanted))

    def _stream(
        self, complete: Complete, samples: Sequence[Sample], wanted: Sequence[Sequence[str]]
    ) -> Iterator[list[Given]]:
        """All questions about all clips at once: the engine batches them."""
        places: list[tuple[int, str]] = []
        queries: list[Query] = []
        for i, (sample, labels) in enumerate(zip(samples, wanted, strict=True)):
            if not len(sample.clip.video):
                yield [(i, label, Answer(error="the clip has no frames")) for label in labels]
                continue
            picture = strip(sample.clip.video, self.height, self.width)
            for label in labels:
                prompt = self.prompts[label]
                places.append((i, label))
                queries.append(Query(picture, prompt.text, prompt.max_tokens, prompt.json_schema))
        for replies in complete(queries) if queries else ():
            yield [(*places[n], answer_of(reply, queries[n].schema)) for n, reply in replies]


def strip(video: np.ndarray, height: int, width: int) -> np.ndarray:
    """t h w 3 uint8 -> height (t width) 3: frames side by side, each centre-cropped and scaled."""
    from PIL import Image, ImageOps

    frames = [ImageOps.fit(Image.fromarray(frame), (width, height), Image.Resampling.BICUBIC) for frame in video]
    return np.concatenate([np.asarray(frame) for frame in frames], 1)
