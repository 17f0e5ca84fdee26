"""taskprompt: multi-task prompts for video transformers.

Importing it is light: neither ray nor vllm is loaded before a verb needs it."""

from taskprompt.api import check, compare, convert, evaluate, fetch, fit, label, predict, profile, report, tune
from taskprompt.core.augment import Augment
from taskprompt.core.balancer import Balance, Balancer
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
from taskprompt.core.labeler import Answer, Labeler, Question
from taskprompt.core.model import Backbone, Encoder, MultiTaskModel, Prompter
from taskprompt.core.recipe import Best, Recipe, Stage
from taskprompt.core.runtime import Runtime
from taskprompt.core.source import ClipSpec, Source
from taskprompt.core.spec import Spec
from taskprompt.core.sweep import Asha, Range, Sweep
from taskprompt.core.task import Array, Task
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
from taskprompt.core.weights import Layout, LoadReport, Weights
from taskprompt.nn.heads import DenseHead, PromptHead
from taskprompt.runtime.submit import Job, jobs, submit
from taskprompt.train.check import Checked
from taskprompt.train.run import Run
from taskprompt.train.specimen import load_batch
from taskprompt.train.sweep_run import SweepRun

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
    "ClusterError",
    "DenseHead",
    "Dims",
    "Encoder",
    "Features",
    "Job",
    "JobError",
    "Joints",
    "Labeler",
    "Layout",
    "LayoutError",
    "LoadReport",
    "Map",
    "MultiTaskModel",
    "Points",
    "PromptHead",
    "Prompter",
    "Question",
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
    "TaskPromptError",
    "Vectors",
    "Weights",
    "WriteError",
    "check",
    "compare",
    "convert",
    "evaluate",
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
