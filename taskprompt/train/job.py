"""The training job of each worker, on a cluster or in this process."""

import logging
import time
from contextlib import closing, nullcontext
from dataclasses import asdict
from pathlib import Path

from torch import Tensor, nn

from taskprompt.core.errors import TaskPromptError
from taskprompt.core.events import Evaluated, Saved, WeightsLoaded
from taskprompt.core.model import MultiTaskModel
from taskprompt.data.feed import Feed
from taskprompt.data.unlabelled import Unlabelled, unseen_classes
from taskprompt.distributed import collective
from taskprompt.distributed.context import WorkerContext
from taskprompt.distributed.sharding import is_sharded, whole
from taskprompt.evaluation.evaluate import held_out_readers, measure
from taskprompt.nn.compiled import compiler_told
from taskprompt.recipe.build import build_balance, build_model, freeze
from taskprompt.recipe.recipe import Recipe, Stage
from taskprompt.runs import checkpoint
from taskprompt.runs.lock import locked, logged
from taskprompt.runs.resume import position
from taskprompt.runs.run import Run
from taskprompt.train.ema import Ema
from taskprompt.train.feature_cache import FeatureCache
from taskprompt.train.loop import StepResult, TrainState, fit
from taskprompt.train.not_finite import NotFinite, saved_with
from taskprompt.train.optim import make_optimizer
from taskprompt.train.recorder import Recorder
from taskprompt.weights.file import newest
from taskprompt.weights.start import starting_weights

log = logging.getLogger("taskprompt")


def train(run: Run, context: WorkerContext) -> bool:
    """Run all stages of the recipe in a run's folder, from its newest checkpoint if there is one.

    Returns whether training is complete; False if it was stopped at a checkpoint on request."""
    mine = locked(run.path) if context.rank == 0 else nullcontext()
    with mine, logged(run.path, context.rank), compiler_told(), closing(Job(run, run.recipe, context)) as job:
        job.start()
        return all(job.run_stage(index) for index in range(job.stage_index, len(job.recipe.stages)))


class Job:
    """The state of one worker: model, sources, and their positions."""

    def __init__(self, run: Run, recipe: Recipe, context: WorkerContext):
        self.run, self.recipe, self.context = run, recipe, context
        self.started = time.monotonic()
        self.model: MultiTaskModel = build_model(recipe).to(context.device)
        self.balance = build_balance(recipe).to(context.device)
        self.feed = Feed(recipe, context)
        self.held_out = held_out_readers(recipe) if recipe.evaluate_every or recipe.best else {}
        self.recorded: list[dict] = []  # this worker's clips per step since the last checkpoint
        self.stage_index = self.step_in_stage = self.total = 0
        self.restored: Path | None = None
        if checkpoint.latest(run.checkpoints) is not None:
            self._restore(run.newest())
        if context.rank == 0:
            run.cut(self.total)
        self.listed = {(r["source"], r["key"]) for r in run.lines("skipped.jsonl")}
        self.recorder = Recorder(run, recipe.trackers, self.total, context.notify) if context.rank == 0 else None
        parameters = sum(p.numel() for p in self.model.parameters())
        log.info("worker 1 of %d on %s: %d parameters", context.workers, context.device, parameters)

    def start(self) -> None:
        """For a new run: load the pretrained weights, and warn about classes without clips."""
        if self.restored is None:
            if self.recipe.weights is not None:
                self._start_from_weights()
            for text in unseen_classes(self.recipe, self.feed.readers):
                self.warn(text)

    def close(self) -> None:
        """Record clips skipped since the last checkpoint, and close the trackers."""
        if self.recorder:
            self._list_skipped([self.feed.skipped()])
            self.recorder.close()
            self.run.push()

    def run_stage(self, index: int) -> bool:
        """Train one stage, with checkpoints and evaluations when due; False if it was stopped on request."""
        stage, every = self.recipe.stages[index], self.recipe.evaluate_every
        self.stage_index = index
        train_state = self.train_state(stage)
        tasks = {n: self.recipe.tasks[n] for n in self.recipe.stage_tasks(stage)}
        before = self.run.lines("metrics.jsonl")[self.total - self.step_in_stage :]
        unlabelled = Unlabelled(self.recipe, index, self.feed.readers, before)
        batches = self.feed.batches(stage, tasks)
        options = {"device": self.context.device, "precision": self.recipe.runtime.precision}
        options |= {"seed": self.recipe.seed + index, "before": self.total - self.step_in_stage}
        try:
            for step in fit(train_state, tasks, batches, stage, done=self.step_in_stage, **options):
                self.step_in_stage, self.total = step.number, self.total + 1
                last = step.number == stage.steps
                self.note(step)
                for text in unlabelled.step(n for n, v in step.losses.items() if v == v):
                    self.warn(text)
                if step.number == 1 or last:
                    log.info("step %d: %.1f s since the job began", self.total, time.monotonic() - self.started)
                score = None
                if self.held_out and due(every, self.total, last):
                    score = self._evaluate(train_state)
                if due(self.recipe.save_every, self.total, last) or (score is not None and self.recipe.best):
                    self._save(train_state, last, score)
                    asked = collective.gather(self.context.rank == 0 and self.context.stop())[0]
                    if asked and not (last and index + 1 == len(self.recipe.stages)):
                        return False
        except NotFinite as error:
            raise saved_with(error, self.run, self.total + 1, self.context.rank) from None
        self.step_in_stage = 0
        return True

    def train_state(self, stage: Stage) -> TrainState:
        """Freeze the stage's parts, wrap the model, and build the stage's optimizer and balance."""
        recipe, context = self.recipe, self.context
        if is_sharded(self.model):  # requires_grad of a shard is fixed when it is created
            self.model = self._plain_copy(self.model_state())
        freeze(self.model, stage, recipe.stage_tasks(stage))
        encoder = self.model.encoder
        self.model.feature_cache = (
            FeatureCache(stage.feature_cache, recipe.backbone, recipe.clip, encoder) if stage.feature_cache else None
        )
        encoder.checkpointing = recipe.runtime.checkpointing  # type: ignore[assignment]
        if recipe.runtime.compile:
            encoder.compile()
        wrapped = context.wrap(self.model)
        named = self._named_parameters()
        optimizer = make_optimizer(named, stage)
        ema = Ema(self.model, stage.ema) if stage.ema else None
        if self.step_in_stage and self.restored is not None:
            names = {p: n for n, p in named}
            checkpoint.load_optimizer(optimizer, names, checkpoint.read_tensors(self.restored, "optimizer"))
            if ema is not None:
                ema.load(checkpoint.read_tensors(self.restored, "ema"))
        return TrainState(wrapped, self.balance, optimizer, ema)

    def _named_parameters(self) -> list[tuple[str, nn.Parameter]]:
        own = ((f"balance.{n}", p) for n, p in self.balance.named_parameters())
        return [*self.model.named_parameters(), *own]

    def model_state(self) -> dict[str, Tensor]:
        """The model's full weights. A collective call."""
        return {n: whole(v) for n, v in self.model.state_dict().items()}

    def _plain_copy(self, state: dict[str, Tensor]) -> MultiTaskModel:
        model = build_model(self.recipe).to(self.context.device)
        model.load_state_dict(state)
        model.feature_cache = self.model.feature_cache
        return model

    def note(self, step: StepResult) -> None:
        """Record a step."""
        if self.recipe.record_clips:
            self.recorded.append({"step": self.total, "clips": self.feed.take_record()})
        if self.recorder:
            left = sum(s.steps for s in self.recipe.stages[self.stage_index :]) - step.number
            self.recorder.note(step, self.total, self.stage_index, left)

    def warn(self, text: str) -> None:
        """Record a warning; training continues."""
        if self.recorder:
            self.recorder.warn(text)

    def _evaluate(self, train_state: TrainState) -> float | None:
        """Evaluate on the held-out sources; returns the score for `best`, if the recipe has it."""
        model: nn.Module = self.model
        if train_state.ema is not None or is_sharded(self.model):
            state = train_state.ema.state(self.model) if train_state.ema else self.model_state()
            model = self._plain_copy(state)
        was = {name: m.training for name, m in self.model.named_modules()}
        found = measure(model, self.recipe, self.held_out, self.context)  # type: ignore[arg-type]
        for name, module in self.model.named_modules():
            module.training = was[name]
        flat = {f"{s}/{t}/{m}": v for s, ts in found.items() for t, ms in ts.items() for m, v in ms.items()}
        best = self.recipe.best
        if best and best.metric not in flat:
            raise TaskPromptError(f"best.metric: there is no metric {best.metric!r}. Measured: {', '.join(flat)}.")
        if self.recorder:
            self.recorder(Evaluated(self.total, flat))
        return flat[best.metric] if best else None

    def _save(self, train_state: TrainState, stage_done: bool, score: float | None) -> None:
        """Save a checkpoint. A collective call; worker 0 writes."""
        tensors = {"model": self.model_state(), "balance": self.balance.state_dict()}
        if train_state.ema is not None:
            tensors["ema"] = train_state.ema.state(self.model)
        # A completed stage needs no optimizer state, unless it is the last one, to which steps may be added.
        if not stage_done or self.stage_index + 1 == len(self.recipe.stages):
            tensors["optimizer"] = checkpoint.optimizer_tensors(
                train_state.optimizer, {p: n for n, p in self._named_parameters()}
            )
        sources = self.feed.state()
        everyone = collective.gather((self.feed.skipped(), self.recorded))
        self.recorded = []
        if self.recorder is None:
            return
        self._list_skipped([skipped for skipped, _ in everyone])
        for parts in zip(*(recorded for _, recorded in everyone), strict=True):
            clips = {n: [k for part in parts for k in part["clips"][n]] for n in parts[0]["clips"]}
            self.run.append("clips.jsonl", {"step": parts[0]["step"], "clips": clips})
        best = self.recipe.ranking()
        state = {"total": self.total, "sources": sources, "score": score, "metric": best.metric if best else ""}
        saved = checkpoint.save(self.run.checkpoints, self.total, tensors, state, self.recipe.keep, best)
        log.info("step %d: saved %s", self.total, saved.name)
        self.recorder(Saved(self.total, saved.name))

    def _list_skipped(self, everyone: list[dict[str, dict[str, str]]]) -> None:
        for skipped in everyone:
            for source, reasons in skipped.items():
                for key, reason in reasons.items():
                    if (source, key) not in self.listed:
                        self.listed.add((source, key))
                        self.run.append("skipped.jsonl", {"source": source, "key": key, "reason": reason})

    def _start_from_weights(self) -> None:
        """Every worker reads the file; for a run that is still training, the checkpoint that worker 0 selects."""
        weights = self.recipe.weights
        place = collective.gather(newest(weights.path) if weights and self.context.rank == 0 else None)[0]
        tensors, report = starting_weights(self.recipe, self.model, place)
        self.model.load_state_dict(tensors, strict=False)
        log.info("weights: %s", report.text())
        if self.recorder:
            self.run.write("weights.json", asdict(report))
            self.recorder(WeightsLoaded(report.text()))

    def _restore(self, path: Path) -> None:
        self.restored = path
        checkpoint.check(path, self.recipe)
        state = checkpoint.read_state(path)
        checkpoint.load_weights(self.model, checkpoint.read_tensors(path, "model"), str(path))
        checkpoint.load_weights(self.balance, checkpoint.read_tensors(path, "balance"), str(path))
        self.total = state["total"]
        self.stage_index, self.step_in_stage = position(self.recipe.stages, self.total)
        self.feed.restore(state["sources"])
        log.info("resumed %s at step %d", path.name, self.total)


def due(every: int | None, step: int, last: bool) -> bool:
    """Whether an action is due: every `every` steps, and at the end of a stage."""
    return last or (every is not None and step % every == 0)
