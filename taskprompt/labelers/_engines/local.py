"""A vLLM engine in the actor's own process."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from taskprompt.core.errors import SpecError
from taskprompt.labelers._engines.base import Complete, Engine, Query, Reply, Sampling, parameters_of
from taskprompt.labelers._files import MODEL, digests
from taskprompt.labelers._reasoning import SAYING

DEFAULTS: dict[str, Any] = {"limit_mm_per_prompt": {"image": 1}}


class Vllm(Engine):
    """A vllm.LLM engine in the actor; it batches all queries that it gets."""

    model: str  # model name on the hub, or a folder
    revision: str | None = None  # on the hub: a commit, tag or branch
    tensor_parallel: int = Field(default=1, ge=1)  # GPUs per engine
    args: dict[str, Any] = {}  # further arguments of vllm.LLM, such as max_model_len or gpu_memory_utilization
    parameters: dict[str, Any] = {}  # further vllm.SamplingParams; chat_template_kwargs: {enable_thinking: false}

    def identity(self) -> dict[str, Any]:
        """A folder is identified by its content. Raises SpecError if it has no model."""
        drawn = {"parameters": self.parameters} if self.parameters else {}
        if not Path(self.model).is_dir():
            return {"model": self.model, "revision": self.revision} | drawn
        if not Path(self.model, "config.json").is_file():
            raise SpecError(f"vllm.model: no config.json in {self.model!r}. Give the folder of a transformers model.")
        return {"model": digests(Path(self.model), MODEL)} | drawn

    def start(self, sampling: Sampling) -> Complete:
        """Raises SpecError if vLLM is not installed, or rejects the model or an argument."""
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        if self.tensor_parallel == 1:
            # The engine core in this process: it starts in a tenth of the time, and ends with the actor.
            os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        try:
            import vllm  # type: ignore[import-not-found]
        except ImportError as error:
            raise SpecError(
                f"labelers: this environment cannot import vllm ({error}). "
                "Install taskprompt[vllm], or set `python` to that of an environment with vllm."
            ) from error
        options = DEFAULTS | {"revision": self.revision, "seed": sampling.seed} | self.args
        try:
            engine = vllm.LLM(self.model, tensor_parallel_size=self.tensor_parallel, **options)
        except (ValueError, TypeError, OSError, RuntimeError) as error:
            why = " ".join(str(error).split())[:400]
            raise SpecError(f"vllm.model {self.model!r}: vLLM cannot start it: {why}") from error
        return Local(engine, sampling, self.parameters)


class Local:
    """complete(queries) -> replies."""

    def __init__(self, engine: Any, sampling: Sampling, parameters: dict[str, Any]):
        from vllm.exceptions import VLLMClientError  # type: ignore[import-not-found]

        self.engine, self.sampling = engine, sampling
        self.refusals = (ValueError, VLLMClientError)
        self.parameters = {name: value for name, value in parameters.items() if name != "chat_template_kwargs"}
        self.template = parameters.get("chat_template_kwargs")
        tokenizer = engine.get_tokenizer()
        added = getattr(tokenizer, "added_tokens_decoder", {}).values()  # special and other added tokens
        specials = {*tokenizer.all_special_tokens, *(str(token) for token in added if token.special)}
        self.marks = sorted(mark for mark in specials if mark and not SAYING.fullmatch(mark))
        self._drawn(Query(np.zeros((1, 1, 3), np.uint8), "", 1))  # raises for an unknown parameter

    def __call__(self, queries: Sequence[Query]) -> Iterator[list[tuple[int, Reply]]]:
        """All at once; if one is refused, recursively in halves, so that the others are answered."""
        yield from self._part(queries, 0)

    def _part(self, queries: Sequence[Query], first: int) -> Iterator[list[tuple[int, Reply]]]:
        try:
            replies = self._complete(queries)
        except self.refusals as error:
            half = len(queries) // 2
            if half:
                yield from self._part(queries[:half], first)
                yield from self._part(queries[half:], first + half)
                return
            replies = [Reply(error=" ".join(str(error).split())[:400])]
        yield list(enumerate(replies, first))

    def _complete(self, queries: Sequence[Query]) -> list[Reply]:
        more = {"chat_template_kwargs": self.template} if self.template else {}
        drawn = [self._drawn(query) for query in queries]
        found = self.engine.chat([_message(q) for q in queries], drawn, use_tqdm=False, **more)
        return [self._reply(one) for one in found]

    def _reply(self, found: Any) -> Reply:
        """The text keeps special tokens that separate reasoning from the answer."""
        if not found.outputs:
            return Reply(error="vLLM gave no output")
        first = found.outputs[0]
        text, written = first.text, first.token_ids or ()
        for mark in self.marks:
            text = text.replace(mark, "")
        return Reply(text, "", "", len(found.prompt_token_ids or ()), len(written), first.finish_reason or "stop")

    def _drawn(self, query: Query) -> Any:
        """Raises SpecError for an unknown parameter, or a value that vLLM rejects."""
        from vllm import SamplingParams  # type: ignore[import-not-found]
        from vllm.sampling_params import StructuredOutputsParams  # type: ignore[import-not-found]

        ours = {
            "temperature": self.sampling.temperature,
            "top_p": self.sampling.top_p,
            "seed": self.sampling.seed,
            "max_tokens": query.max_tokens,
            "structured_outputs": None if query.schema is None else StructuredOutputsParams(json=query.schema),
            "skip_special_tokens": False,
        }
        try:
            return SamplingParams(**parameters_of(ours, self.parameters))
        except (TypeError, ValueError) as error:
            raise SpecError(f"vllm.parameters: {' '.join(str(error).split())[:300]}") from None


def _message(query: Query) -> list[dict[str, Any]]:
    from PIL import Image

    picture = {"type": "image_pil", "image_pil": Image.fromarray(query.picture)}
    return [{"role": "user", "content": [picture, {"type": "text", "text": query.text}]}]
