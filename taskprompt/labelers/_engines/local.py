"""A vLLM engine in the actor's own process."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from taskprompt.core.errors import SpecError
from taskprompt.labelers._engines.base import Complete, Engine, Query, Reply, Sampling
from taskprompt.labelers._files import digests

DEFAULTS: dict[str, Any] = {"limit_mm_per_prompt": {"image": 1}}


class Vllm(Engine):
    """vllm.LLM, whose batching inside takes all queries that it is handed."""

    model: str  # its name on the hub, or a folder
    revision: str | None = None  # on the hub: a commit, tag or branch
    tensor_parallel: int = Field(default=1, ge=1)  # GPUs that one engine is spread over
    args: dict[str, Any] = {}  # further arguments of vllm.LLM, such as max_model_len or gpu_memory_utilization

    def identity(self) -> dict[str, Any]:
        """A folder is known by what it holds. Raises SpecError where it holds no model."""
        if not Path(self.model).is_dir():
            return {"model": self.model, "revision": self.revision}
        if not Path(self.model, "config.json").is_file():
            raise SpecError(f"vllm.model: no config.json in {self.model!r}. Give the folder of a transformers model.")
        return {"model": digests(Path(self.model), (".json", ".jinja", ".safetensors"))}

    def start(self, sampling: Sampling) -> Complete:
        """Raises SpecError where vLLM is not installed, or refuses the model or an argument."""
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        if self.tensor_parallel == 1:
            # The engine in this process: it starts in a tenth of the time, and dies with the actor.
            os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        try:
            import vllm  # type: ignore[import-not-found]
        except ImportError as error:
            raise SpecError(
                f"labelers: this environment cannot import vllm ({error}). "
                "Install taskprompt[vllm], or name an environment that has it in `python`."
            ) from error
        options = DEFAULTS | {"revision": self.revision, "seed": sampling.seed} | self.args
        try:
            engine = vllm.LLM(self.model, tensor_parallel_size=self.tensor_parallel, **options)
        except (ValueError, TypeError, OSError, RuntimeError) as error:
            why = " ".join(str(error).split())[:400]
            raise SpecError(f"vllm.model {self.model!r}: vLLM cannot start it: {why}") from error
        return Local(engine, sampling)


class Local:
    """complete(queries) -> replies."""

    def __init__(self, engine: Any, sampling: Sampling):
        from vllm.exceptions import VLLMClientError  # type: ignore[import-not-found]

        self.engine, self.sampling, self.refusals = engine, sampling, (ValueError, VLLMClientError)

    def __call__(self, queries: Sequence[Query]) -> list[Reply]:
        """All at once; where one is refused, in halves, so that the others have their answers."""
        try:
            return self._complete(queries)
        except self.refusals as error:
            half = len(queries) // 2
            if not half:
                return [Reply(error=" ".join(str(error).split())[:400])]
            return self(queries[:half]) + self(queries[half:])

    def _complete(self, queries: Sequence[Query]) -> list[Reply]:
        found = self.engine.chat([_message(q) for q in queries], [self._parameters(q) for q in queries], use_tqdm=False)
        return [
            Reply(o.outputs[0].text, len(o.prompt_token_ids), len(o.outputs[0].token_ids),
                  o.outputs[0].finish_reason == "length")
            for o in found
        ]  # fmt: skip

    def _parameters(self, query: Query) -> Any:
        from vllm import SamplingParams  # type: ignore[import-not-found]
        from vllm.sampling_params import StructuredOutputsParams  # type: ignore[import-not-found]

        shape = None if query.schema is None else StructuredOutputsParams(json=query.schema)
        drawn = self.sampling
        return SamplingParams(
            temperature=drawn.temperature,
            top_p=drawn.top_p,
            seed=drawn.seed,
            max_tokens=query.max_tokens,
            structured_outputs=shape,
        )


def _message(query: Query) -> list[dict[str, Any]]:
    from PIL import Image

    picture = {"type": "image_pil", "image_pil": Image.fromarray(query.picture)}
    return [{"role": "user", "content": [picture, {"type": "text", "text": query.text}]}]
