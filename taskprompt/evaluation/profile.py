"""Cost of a recipe's model: parameters in training and at test time, operations, and milliseconds per clip."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from taskprompt.core.errors import SpecError, nearest
from taskprompt.core.model import MultiTaskModel
from taskprompt.nn.compiled import compiler_told
from taskprompt.nn.precision import autocast
from taskprompt.recipe.build import build_model, freeze
from taskprompt.recipe.recipe import Recipe
from taskprompt.recipe.runtime import torch_threads


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one recipe's model for one clip; `test` excludes heads that are dropped then (PViT, table 4a)."""

    recipe: str
    kept: tuple[str, ...]  # tasks whose heads are kept at test time
    trained: int  # parameters that some stage trains
    test: int  # parameters
    flops: int  # floating-point operations, two per multiply-add, with the heads of all trained tasks
    flops_test: int
    ms: float  # milliseconds of a forward pass with these heads
    ms_test: float


def profile(recipes: dict[str, Recipe], keep: Sequence[str] | None = None, repeats: int = 10) -> list[Cost]:
    """The cost of recipes' models, timed in turns within one run, on the device and threads of each runtime.

    keep: the tasks whose heads are kept at test time; None: those that own no prompt, such as the action. Milliseconds
    are medians over `repeats`. Raises SpecError for an unknown task."""
    kept = {name: _kept(name, recipe, keep) for name, recipe in recipes.items()}
    times: dict[tuple[str, bool], list[float]] = {}
    timed = {name: Timed(recipe, kept[name]) for name, recipe in recipes.items()}
    for i in range(repeats + 2):  # the first two are for warm-up
        for name, one in timed.items():
            for test in (False, True):
                seconds = one.seconds(test)
                if i > 1:
                    times.setdefault((name, test), []).append(1000 * seconds)
    return [
        Cost(
            name,
            kept[name],
            count(trained_parameters(one.model, recipes[name])),
            count(kept_parameters(one.model, kept[name])),
            flops(recipes[name], recipes[name].learned()),
            flops(recipes[name], kept[name]),
            median(times[name, False]),
            median(times[name, True]),
        )
        for name, one in timed.items()
    ]


class Timed:
    """A model in eval mode with an input clip; inputs of heads are zeros."""

    def __init__(self, recipe: Recipe, kept: tuple[str, ...]):
        self.runtime, self.tasks = recipe.runtime, {False: tuple(recipe.learned()), True: kept}
        self.device = recipe.runtime.device()
        self.model = build_model(recipe).eval().to(self.device)
        if recipe.runtime.compile:
            self.model.encoder.compile()
        self.clip = one_clip(recipe).to(self.device)
        self.inputs = zero_inputs(recipe, self.device)

    @torch.inference_mode()
    def seconds(self, test: bool) -> float:
        """Of one forward pass, with the heads that are trained or with those that are kept."""
        row = torch.zeros(1, dtype=torch.long, device=self.device)
        with torch_threads(self.runtime.torch_threads):
            begin = time.perf_counter()
            with autocast(self.device, self.runtime.precision), compiler_told():
                self.model(self.clip, dict.fromkeys(self.tasks[test], row), self.inputs)
            if self.device.type == "cuda":
                torch.cuda.synchronize()
            return time.perf_counter() - begin


def one_clip(recipe: Recipe) -> Tensor:
    """1 t h w c, uint8: noise of the recipe's clip shape."""
    c = recipe.clip
    return torch.randint(0, 256, (1, c.frames, c.height, c.width, 3), dtype=torch.uint8)


def zero_inputs(recipe: Recipe, device: torch.device) -> dict[str, dict[str, Tensor]]:
    """task -> name -> 1 ... of zeros, for the tasks whose heads read inputs."""
    dims = recipe.dims()
    return {
        name: {k: torch.from_numpy(v)[None].to(device) for k, v in task.blank_inputs(dims).items()}
        for name, task in recipe.tasks.items()
        if task.inputs
    }


def flops(recipe: Recipe, tasks: Iterable[str]) -> int:
    """Floating-point operations of one clip's forward pass with these tasks' heads: matrix products and convolutions,
    a multiply-add counted as two, by torch's FlopCounterMode on the meta device."""
    with torch.device("meta"):
        model = MultiTaskModel(recipe.backbone, recipe.prompter, recipe.tasks, recipe.clip)
        clip, row = one_clip(recipe), torch.zeros(1, dtype=torch.long)
    # The counter's hooks do not take a tensor that will have a gradient where none is recorded.
    model.eval().requires_grad_(False)
    with FlopCounterMode(display=False) as counter:
        model(clip, dict.fromkeys(tasks, row), zero_inputs(recipe, torch.device("meta")))
    return counter.get_total_flops()


def trained_parameters(model: MultiTaskModel, recipe: Recipe) -> list[nn.Parameter]:
    """The parameters that at least one stage of the recipe trains."""
    found: dict[str, nn.Parameter] = {}
    for stage in recipe.stages:
        freeze(model, stage, recipe.stage_tasks(stage))
        found |= {n: p for n, p in model.named_parameters() if p.requires_grad}
    return list(found.values())


def kept_parameters(model: MultiTaskModel, kept: Sequence[str]) -> list[nn.Parameter]:
    """All but those of the heads that are dropped at test time."""
    dropped = tuple(f"heads.{name}." for name in model.heads if name not in kept)
    return [p for n, p in model.named_parameters() if not n.startswith(dropped)]


def count(parameters: Iterable[nn.Parameter]) -> int:
    """How many numbers they hold."""
    return sum(p.numel() for p in parameters)


def _kept(name: str, recipe: Recipe, keep: Sequence[str] | None) -> tuple[str, ...]:
    if keep is None:
        return tuple(n for n, task in recipe.tasks.items() if not task.prompts)
    for task in keep:
        if task not in recipe.tasks:
            known = ", ".join(recipe.tasks)
            raise SpecError(f"keep: {name} has no task {task!r}{nearest(task, recipe.tasks)} Known: {known}.")
    return tuple(keep)
