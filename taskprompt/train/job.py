"""The training job: what every worker runs, on a cluster or in this process."""

import logging
import time
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.tensorboard import SummaryWriter

from taskprompt.core.batch import collate
from taskprompt.core.model import MultiTaskModel
from taskprompt.core.recipe import Recipe, Stage
from taskprompt.core.types import Batch
from taskprompt.train import checkpoint, collective
from taskprompt.train.evaluate import held_out_readers, measure
from taskprompt.train.loop import Step, Trainee, fit
from taskprompt.train.optim import freeze, make_optimizer
from taskprompt.train.place import Place, share
from taskprompt.train.reader import make_reader
from taskprompt.train.run import Run, build_model, logged, owned
from taskprompt.train.stream import Stream

log = logging.getLogger("taskprompt")


def train(path: Path, place: Place) -> None:
    """Run every stage of the recipe in a run's folder, from its newest checkpoint if it has one."""
    run = Run(path)
    mine = owned(path) if place.rank == 0 else nullcontext()
    with mine, logged(path, place.rank), closing(Job(run, run.recipe, place)) as job:
        for index in range(job.stage_index, len(job.recipe.stages)):
            job.run_stage(index)


class Job:
    """The state of one worker: model, streams, and how far they are."""

    def __init__(self, run: Run, recipe: Recipe, place: Place):
        self.run, self.recipe, self.place = run, recipe, place
        self.started = self.clock = time.monotonic()
        self.samples = self.steps = 0
        self.model: MultiTaskModel = build_model(recipe).to(place.device)
        self.readers = {n: make_reader(recipe, n, s, training=True) for n, s in recipe.sources.items()}
        self.held_out = held_out_readers(recipe) if recipe.evaluate_every else {}
        self.cursors: dict[str, list[int]] = {}  # source -> the next position of every rank
        self.streams: dict[str, Stream] = {}
        self.listed: set[tuple[str, str]] = set()  # skipped samples that the run's list has
        self.stage_index = self.step_in_stage = self.total = 0
        self.restored = checkpoint.latest(run.checkpoints)
        if self.restored is not None:
            self._restore(self.restored)
        self.board = (
            SummaryWriter(str(run.path / "tensorboard"), purge_step=self.total + 1) if place.rank == 0 else None
        )
        parameters = sum(p.numel() for p in self.model.parameters())
        log.info("worker 1 of %d on %s: %d parameters", place.workers, place.device, parameters)

    def close(self) -> None:
        """List what was skipped since the last checkpoint, and flush what is written in the background."""
        if self.board:
            self._list_skipped([{n: s.skipped for n, s in self.streams.items()}])
            self.board.close()

    def run_stage(self, index: int) -> None:
        """Train one stage to its end, saving and evaluating when due."""
        stage = self.recipe.stages[index]
        self.stage_index = index
        trainee = self.trainee(stage)
        tasks = {n: self.recipe.tasks[n] for n in self.recipe.stage_tasks(stage)}
        steps = fit(
            trainee,
            tasks,
            self._batches(stage, tasks),
            stage,
            device=self.place.device,
            precision=self.recipe.runtime.precision,
            seed=self.recipe.seed + index,
            done=self.step_in_stage,
        )
        for step in steps:
            self.step_in_stage, self.total = step.number, self.total + 1
            last = step.number == stage.steps
            self.note(step, stage)
            if step.number == 1 or last:
                log.info("step %d: %.1f s since the job began", self.total, time.monotonic() - self.started)
            if self.held_out and due(self.recipe.evaluate_every, self.total, last):
                self._evaluate(trainee)
            if due(self.recipe.save_every, self.total, last):
                self._save(trainee, stage_done=last)
        self.step_in_stage = 0

    def trainee(self, stage: Stage) -> Trainee:
        """Freeze what the stage freezes; the model as the place wraps it, with the stage's optimizer and balance."""
        recipe, place = self.recipe, self.place
        freeze(self.model, stage, recipe.stage_tasks(stage))
        self.model.encoder.checkpointing = recipe.runtime.checkpointing  # type: ignore[assignment]
        balance = recipe.balancer.build(recipe.tasks).to(place.device)
        named = [*self.model.named_parameters(), *((f"balance.{n}", p) for n, p in balance.named_parameters())]
        optimizer = make_optimizer(named, stage)
        ema = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(stage.ema)) if stage.ema else None
        if self.step_in_stage and self.restored is not None:
            names = {p: n for n, p in named}
            checkpoint.load_optimizer(optimizer, names, checkpoint.read_tensors(self.restored, "optimizer"))
            checkpoint.load_weights(balance, checkpoint.read_tensors(self.restored, "balance"), str(self.restored))
            if ema is not None:
                checkpoint.load_weights(ema.module, checkpoint.read_tensors(self.restored, "ema"), str(self.restored))
                ema.n_averaged.fill_(self.step_in_stage)
        if recipe.runtime.compile:
            self.model.encoder.compile()
        shared = tuple(p for p in self.model.encoder.parameters() if p.requires_grad)
        return Trainee(place.wrap(self.model), balance, optimizer, shared, ema)

    def _batches(self, stage: Stage, tasks) -> Iterator[Batch]:
        sources = self.recipe.stage_sources(stage)
        quotas = {n: share(s.quota, self.place, n) for n, s in sources.items()}
        for name in quotas:
            reader, start = self.readers[name], self._cursor(name)
            chunks = self.place.chunks(reader, start, self.place.workers, None)
            self.streams[name] = Stream(name, chunks, start, self.place.workers, len(reader), self.recipe.max_skipped)
        while True:
            parts = [self.streams[n].take(q) for n, q in quotas.items()]
            yield collate([p for p in parts if p is not None], tasks)

    def _cursor(self, name: str) -> int:
        if name in self.streams:
            return self.streams[name].cursor
        saved = self.cursors.get(name, [])
        if len(saved) == self.place.workers:
            return saved[self.place.rank]
        return max(saved, default=0) + self.place.rank

    def note(self, step: Step, stage: Stage) -> None:
        """Write one step's facts to metrics.jsonl and TensorBoard, and tell whoever watches."""
        if self.place.rank:
            return
        if self.steps == 0:  # the pace is that of steps alone, without start-up
            self.clock, self.samples = time.monotonic(), 0
        self.steps += 1
        seconds = max(time.monotonic() - self.clock, 1e-6)
        self.samples += step.samples if self.steps > 1 else 0
        losses = {f"loss/{n}": v for n, v in step.losses.items() if v == v}
        record = {"step": self.total, "stage": self.stage_index, "loss": step.total, **losses}
        record |= {"grad_norm": step.norm, "lr": step.lr, "clips_per_s": round(self.samples / seconds, 2)}
        self.run.append("metrics.jsonl", record)
        for name, value in record.items():
            if self.board and name not in ("step", "stage"):
                self.board.add_scalar(name, value, self.total)
        left = sum(s.steps for s in self.recipe.stages[self.stage_index :]) - step.number
        self.place.notify(record | {"left": left, "steps_per_s": (self.steps - 1) / seconds})

    def _evaluate(self, trainee: Trainee) -> None:
        model = trainee.ema.module if trainee.ema else self.model
        assert isinstance(model, MultiTaskModel)
        was = {name: m.training for name, m in self.model.named_modules()}
        found = measure(model, self.recipe, self.held_out, self.place)
        for name, module in self.model.named_modules():
            module.training = was[name]
        if self.place.rank:
            return
        flat = {f"{s}/{t}/{m}": v for s, ts in found.items() for t, ms in ts.items() for m, v in ms.items()}
        self.run.append("held_out.jsonl", {"step": self.total, **flat})
        for name, value in flat.items():
            if self.board:
                self.board.add_scalar(f"held_out/{name}", value, self.total)
        self.place.notify({"step": self.total, "held_out": flat})

    def _save(self, trainee: Trainee, stage_done: bool) -> None:
        everyone = collective.gather(
            ({n: s.cursor for n, s in self.streams.items()}, {n: s.skipped for n, s in self.streams.items()})
        )
        cursors = {n: [c[n] for c, _ in everyone] for n in self.streams}
        self.cursors |= cursors
        if self.place.rank:
            return
        self._list_skipped([skipped for _, skipped in everyone])
        named = [*self.model.named_parameters(), *((f"balance.{n}", p) for n, p in trainee.balance.named_parameters())]
        tensors: dict[str, dict[str, Tensor]] = {
            "model": self.model.state_dict(),
            "balance": trainee.balance.state_dict(),
        }
        if trainee.ema is not None:
            tensors["ema"] = trainee.ema.module.state_dict()
        if not stage_done:
            tensors["optimizer"] = checkpoint.optimizer_tensors(trainee.optimizer, {p: n for n, p in named})
        place = (self.stage_index + 1, 0) if stage_done else (self.stage_index, self.step_in_stage)
        state = {"stage": place[0], "step_in_stage": place[1], "total": self.total, "cursors": self.cursors}
        saved = checkpoint.save(self.run.checkpoints, self.total, tensors, state, self.recipe.keep)
        log.info("step %d: saved %s", self.total, saved.name)
        self.place.notify({"step": self.total, "saved": saved.name})

    def _list_skipped(self, everyone: list[dict[str, dict[str, str]]]) -> None:
        for skipped in everyone:
            for source, reasons in skipped.items():
                for key, reason in reasons.items():
                    if (source, key) not in self.listed:
                        self.listed.add((source, key))
                        self.run.append("skipped.jsonl", {"source": source, "key": key, "reason": reason})

    def _restore(self, path: Path) -> None:
        state: dict[str, Any] = checkpoint.read_state(path)
        checkpoint.load_weights(self.model, checkpoint.read_tensors(path, "model"), str(path))
        self.stage_index, self.step_in_stage = state["stage"], state["step_in_stage"]
        self.total, self.cursors = state["total"], state["cursors"]
        self.listed = {(r["source"], r["key"]) for r in self.run.lines("skipped.jsonl")}
        if self.place.rank == 0:
            for name in ("metrics.jsonl", "held_out.jsonl"):
                self.run.cut(name, self.total)
        log.info("resumed %s at step %d", path.name, self.total)


def due(every: int | None, step: int, last: bool) -> bool:
    """Every so many steps, and at the end of a stage."""
    return last or (every is not None and step % every == 0)
