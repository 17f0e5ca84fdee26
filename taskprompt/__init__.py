"""taskprompt: multi-task prompts for video transformers.

The import is lazy: a name is imported from its module when it is first used, and PyTorch or Ray with it."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from taskprompt.core import events
from taskprompt.core.errors import (
    CheckpointError,
    ClusterError,
    JobError,
    LayoutError,
    RecipeError,
    SampleError,
    SourceError,
    SpecError,
    TaskError,
    TaskPromptError,
    WriteError,
)

if TYPE_CHECKING:  # the same names for type checkers and editors
    from taskprompt.api.prepare import check, convert, label
    from taskprompt.api.results import evaluate, fetch, predict, profile, report
    from taskprompt.api.train import compare, fit, tune
    from taskprompt.checks.check import Checked
    from taskprompt.core.augment import Augment
    from taskprompt.core.balancer import Balance, Balancer, JoinedGradients, LossWeights, TaskGradients
    from taskprompt.core.clip import ClipSpec, ClipView
    from taskprompt.core.labeler import Answer, Labeler, Question
    from taskprompt.core.layout import Layout
    from taskprompt.core.metrics import Metric
    from taskprompt.core.model import Backbone, Encoder, MultiTaskModel, Prompter
    from taskprompt.core.moment import Middle, Moment, Part, Random
    from taskprompt.core.source import Source
    from taskprompt.core.spec import Spec
    from taskprompt.core.task import Array, Task
    from taskprompt.core.tracker import Tracker, Tracking
    from taskprompt.core.types import (
        Batch,
        Boxes,
        Camera,
        Clip,
        Dims,
        Features,
        Joints,
        Map,
        Points,
        Row,
        Sample,
        Vectors,
    )
    from taskprompt.nn.heads import DenseHead, PromptHead
    from taskprompt.recipe.recipe import Best, Recipe, Stage, Test
    from taskprompt.recipe.runtime import Runtime
    from taskprompt.recipe.weights import Weights
    from taskprompt.reporting.results import Comparison, Evaluation, Labelling, Prediction
    from taskprompt.runs.run import Run
    from taskprompt.runs.saved_batch import load_batch
    from taskprompt.runtime.jobs.submit import Job, jobs, submit
    from taskprompt.sweeps.run import SweepRun
    from taskprompt.sweeps.sweep import Asha, Range, Sweep
    from taskprompt.weights.report import LoadReport

__version__ = "0.2.0"
__all__ = [
    "Answer",
    "Array",
    "Asha",
    "Augment",
    "Backbone",
    "Balance",
    "Balancer",
    "Batch",
    "Best",
    "Boxes",
    "Camera",
    "Checked",
    "CheckpointError",
    "Clip",
    "ClipSpec",
    "ClipView",
    "ClusterError",
    "Comparison",
    "DenseHead",
    "Dims",
    "Encoder",
    "Evaluation",
    "Features",
    "Job",
    "JobError",
    "JoinedGradients",
    "Joints",
    "Labeler",
    "Labelling",
    "Layout",
    "LayoutError",
    "LoadReport",
    "LossWeights",
    "Map",
    "Metric",
    "Middle",
    "Moment",
    "MultiTaskModel",
    "Part",
    "Points",
    "Prediction",
    "PromptHead",
    "Prompter",
    "Question",
    "Random",
    "Range",
    "Recipe",
    "RecipeError",
    "Row",
    "Run",
    "Runtime",
    "Sample",
    "SampleError",
    "Source",
    "SourceError",
    "Spec",
    "SpecError",
    "Stage",
    "Sweep",
    "SweepRun",
    "Task",
    "TaskError",
    "TaskGradients",
    "TaskPromptError",
    "Test",
    "Tracker",
    "Tracking",
    "Vectors",
    "Weights",
    "WriteError",
    "check",
    "compare",
    "convert",
    "evaluate",
    "events",
    "fetch",
    "fit",
    "jobs",
    "label",
    "load_batch",
    "predict",
    "profile",
    "report",
    "submit",
    "tune",
]

_NAMES = {  # module -> the public names in it
    "taskprompt.api.prepare": "check convert label",
    "taskprompt.api.results": "evaluate fetch predict profile report",
    "taskprompt.api.train": "compare fit tune",
    "taskprompt.core.augment": "Augment",
    "taskprompt.core.balancer": "Balance Balancer JoinedGradients LossWeights TaskGradients",
    "taskprompt.core.labeler": "Answer Labeler Question",
    "taskprompt.core.metrics": "Metric",
    "taskprompt.core.moment": "Middle Moment Part Random",
    "taskprompt.core.model": "Backbone Encoder MultiTaskModel Prompter",
    "taskprompt.recipe.recipe": "Best Recipe Stage Test",
    "taskprompt.recipe.runtime": "Runtime",
    "taskprompt.core.clip": "ClipSpec ClipView",
    "taskprompt.core.source": "Source",
    "taskprompt.core.spec": "Spec",
    "taskprompt.sweeps.sweep": "Asha Range Sweep",
    "taskprompt.core.task": "Array Task",
    "taskprompt.core.types": "Batch Boxes Camera Clip Dims Features Joints Map Points Row Sample Vectors",
    "taskprompt.core.tracker": "Tracker Tracking",
    "taskprompt.core.layout": "Layout",
    "taskprompt.recipe.weights": "Weights",
    "taskprompt.weights.report": "LoadReport",
    "taskprompt.nn.heads": "DenseHead PromptHead",
    "taskprompt.reporting.results": "Comparison Evaluation Labelling Prediction",
    "taskprompt.runtime.jobs.submit": "Job jobs submit",
    "taskprompt.checks.check": "Checked",
    "taskprompt.runs.run": "Run",
    "taskprompt.runs.saved_batch": "load_batch",
    "taskprompt.sweeps.run": "SweepRun",
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name == "testing":
        return import_module("taskprompt.testing")
    if name not in _HOMES:
        raise AttributeError(f"module 'taskprompt' has no attribute {name!r}", name=name, obj=import_module(__name__))
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*(name for name in globals() if name.startswith("__")), *__all__, "testing"})
