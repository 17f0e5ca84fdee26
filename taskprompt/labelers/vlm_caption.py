"""vlm_caption: what a vision-language model answers when it sees a clip's key frames side by side (FTP)."""

import json
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from taskprompt.core.errors import SpecError
from taskprompt.core.labeler import Answer, Ask, Labeler, Question
from taskprompt.core.source import ClipSpec
from taskprompt.core.spec import Spec
from taskprompt.core.types import Sample
from taskprompt.labelers._engines.base import Complete, Query, Reply, Sampling
from taskprompt.labelers._engines.local import Vllm
from taskprompt.labelers._engines.remote import Server


class Prompt(Spec):
    """A question. In a recipe its text alone will do."""

    text: str = Field(min_length=1)  # beside the picture
    max_tokens: int = Field(default=128, ge=1)  # of the answer
    json_schema: dict[str, Any] | None = None  # the answer is JSON that follows it, which the engine enforces


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
    """Captions by a vision-language model: one label a prompt, from key frames side by side in one picture."""

    prompts: dict[str, Asked] = Field(default=FOUR, min_length=1)  # label -> its question: FTP's four, or your own
    keyframes: int = Field(default=5, ge=1)  # at equal intervals over the whole video; FTP tried 1, 3, 5, 7
    height: int = Field(default=224, ge=8)  # pixels of a key frame
    width: int = Field(default=224, ge=8)  # pixels of a key frame
    vllm: Vllm | None = None  # an engine on the actor; give this or `server`
    server: Server | None = None  # a server that speaks OpenAI's protocol
    sampling: Sampling = Sampling()  # how answers are drawn

    @model_validator(mode="after")
    def _one_engine(self) -> "VlmCaption":
        if (self.vllm is None) == (self.server is None):
            found = "neither" if self.vllm is None else "both"
            raise SpecError(f"found {found} of `vllm` and `server`, expected one. Such as vllm: {{model: org/name}}.")
        return self

    @property
    def engine(self) -> Vllm | Server:
        """The one that is given."""
        return self.vllm or self.server  # type: ignore[return-value]

    def clip(self, clip: ClipSpec) -> ClipSpec:
        """The key frames, whatever the recipe's clips are."""
        return ClipSpec(frames=self.keyframes, height=self.height, width=self.width, fps=None)

    def labels(self) -> tuple[str, ...]:
        """One a prompt; no file is read."""
        return tuple(self.prompts)

    def questions(self) -> tuple[Question, ...]:
        """One a prompt; its answer depends on the model, the prompt, how it is drawn, and the picture's size."""
        fixed = {
            **self.engine.identity(),
            "sampling": self.sampling.model_dump(),
            "picture": [self.keyframes, self.height, self.width],
        }
        return tuple(Question(name, fixed | prompt.model_dump()) for name, prompt in self.prompts.items())

    def build(self) -> Ask:
        """Starts the engine."""
        complete = self.engine.start(self.sampling)

        def ask(samples: Sequence[Sample], wanted: Sequence[Sequence[str]]) -> list[dict[str, Answer]]:
            return self._ask(complete, samples, wanted)

        return ask

    def _ask(self, complete: Complete, samples, wanted) -> list[dict[str, Answer]]:
        """All questions about all clips at once: the engine batches them."""
        places, queries = [], []
        for i, (sample, labels) in enumerate(zip(samples, wanted, strict=True)):
            picture = strip(sample.clip.video, self.height, self.width)
            for label in labels:
                prompt = self.prompts[label]
                places.append((i, label))
                queries.append(Query(picture, prompt.text, prompt.max_tokens, prompt.json_schema))
        answers: list[dict[str, Answer]] = [{} for _ in samples]
        for (i, label), reply in zip(places, complete(queries), strict=True):
            answers[i][label] = self._answer(reply, self.prompts[label])
        return answers

    def _answer(self, reply: Reply, prompt: Prompt) -> Answer:
        used = {"tokens": reply.read + reply.written, "written": reply.written, "truncated": reply.cut}
        if reply.error:
            return Answer(error=reply.error, used=used)
        text = " ".join(reply.text.split())
        if prompt.json_schema is None:
            # An empty answer is one: the model has nothing to say, and would not say more if it were asked again.
            return Answer(text, used=used)
        try:
            return Answer(json.loads(text), used=used)
        except ValueError:
            return Answer(error=f"no JSON: {text[:100]!r}", used=used)


def strip(video: np.ndarray, height: int, width: int) -> np.ndarray:
    """t h w 3 uint8 -> height (t width) 3: frames side by side, each the largest crop at its middle, scaled."""
    from PIL import Image, ImageOps

    frames = [ImageOps.fit(Image.fromarray(frame), (width, height), Image.Resampling.BICUBIC) for frame in video]
    return np.concatenate([np.asarray(frame) for frame in frames], 1)
