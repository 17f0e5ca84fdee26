"""Run a job of a run's: in this process, or on a cluster."""

import importlib
from typing import Any

from taskprompt.core.events import Watch
from taskprompt.recipe.recipe import Recipe
from taskprompt.runs.run import Run


def run_job(job: str, run: Run, recipe: Recipe, cluster: str | None, watch: Watch | None) -> Any:
    """What the function 'module:name' returns, called with the run and a context: in this process where `cluster` is
    None, else on the workers that the recipe asks for."""
    from taskprompt.progress import progress

    with progress(watch) as watcher:
        if cluster is None:
            from taskprompt.data.local import this_process
            from taskprompt.recipe.runtime import torch_threads

            module, name = job.split(":")
            context = this_process(recipe.runtime, watcher)
            with torch_threads(recipe.runtime.threads):
                return getattr(importlib.import_module(module), name)(run, context)
        from taskprompt.runtime.training.launch import launch

        result = launch(job, run, recipe, cluster, watcher)
        run.pull()
        return result
