"""A training step through Ray Train compared with the same step in a plain loop, in turns within one run."""

import json
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch

from taskprompt.data.batch import collate
from taskprompt.data.reader import make_reader
from taskprompt.distributed.context import WorkerContext
from taskprompt.nn.precision import autocast
from taskprompt.recipe.build import build_model
from taskprompt.recipe.recipe import Recipe
from taskprompt.runs.run import Run
from taskprompt.runtime.training.launch import launch
from taskprompt.train.job import Job
from taskprompt.train.loop import fit
from taskprompt.train.losses import task_losses
from taskprompt.train.optim import learning_rate, make_optimizer

WARM = 3


def bench_step(recipe: Recipe, folder: Path, steps: int = 12, rounds: int = 3) -> dict[str, float]:
    """Seconds per step, medians over all rounds: 'plain' (a hand-written loop in this process) and 'ray train' (the
    job's own loop with logging and reporting, on a Ray Train worker), on the same batch in memory."""
    stage = recipe.stages[0].model_copy(update={"steps": WARM + steps, "warmup": 0})
    recipe = recipe.model_copy(update={"evaluate_every": None, "stages": (stage,)})
    if recipe.runtime.torch_threads:
        torch.set_num_threads(recipe.runtime.torch_threads)
    plain: list[float] = []
    through: list[float] = []
    for i in range(rounds):
        plain += plain_steps(recipe, steps)
        through += ray_steps(recipe, folder / f"round{i}")
    return {"plain": median(plain), "ray train": median(through), "ratio": median(through) / median(plain)}


def ray_steps(recipe: Recipe, out: Path) -> list[float]:
    """Seconds of each step after the first WARM steps of the recipe's first stage, through Ray Train."""
    with Run.start(out, recipe) as run:
        launch("taskprompt.bench.step:timed_job", run, recipe, "local", lambda record: None)
    return json.loads((run.path / "seconds.json").read_text())


def _one_batch(recipe: Recipe, rank: int = 0, workers: int = 1):
    tasks = {n: recipe.tasks[n] for n in recipe.stage_tasks(recipe.stages[0])}
    sources = recipe.stage_sources(recipe.stages[0])
    readers = [(make_reader(recipe, n, s, training=True), s.quota) for n, s in sources.items()]
    return tasks, collate([r(np.arange(rank, q, workers)) for r, q in readers], tasks)


def plain_steps(recipe: Recipe, steps: int) -> list[float]:
    """Seconds of each of `steps` steps, after WARM others, of a hand-written loop."""
    tasks, batch = _one_batch(recipe)
    stage, device = recipe.stages[0], recipe.runtime.device()
    model = build_model(recipe).to(device).train()
    optimizer = make_optimizer(model.named_parameters(), stage)
    counts = {n: float(len(r)) for n, r in batch.rows.items()}
    seconds = []
    for step in range(WARM + steps):
        begin = time.perf_counter()
        on = batch.to(device)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(stage, step)
        with autocast(device, recipe.runtime.precision):
            outputs = model(on.video, on.rows, on.inputs)
        losses = task_losses(tasks, {n: o.float() for n, o in outputs.items()}, on, counts)
        total = torch.stack([loss.share for loss in losses.values()]).sum()
        total.backward()
        float(total.detach())
        torch.nn.utils.clip_grad_norm_(model.parameters(), stage.clip_norm or float("inf"))
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        seconds.append(time.perf_counter() - begin)
    return seconds[WARM:]


def timed_job(run: Run, context: WorkerContext) -> None:
    """Steps of the real training job on one batch, each timed from one `yield` to the next."""
    job = Job(run, run.recipe, context)
    job.start()
    stage = run.recipe.stages[0]
    tasks, batch = _one_batch(run.recipe, context.rank, context.workers)
    train_state = job.train_state(stage)
    forever = iter(lambda: batch, None)
    seconds, last = [], time.perf_counter()
    for step in fit(train_state, tasks, forever, stage, device=context.device, precision=run.recipe.runtime.precision):
        job.note(step)
        seconds.append(time.perf_counter() - last)
        last = time.perf_counter()
    job.close()
    if context.rank == 0:
        run.write("seconds.json", seconds[WARM:])
