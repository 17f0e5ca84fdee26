"""Journal: which trial a sweep runs next, and which trials are stopped early. Its state is the sweep's journal.jsonl.

Tune's own snapshots are not used: they are written every ten seconds, omit the scheduler, so that ASHA would lose its
rungs, and are pickles. Here every event is written to the journal before it has an effect. A sweep is resumed by
replaying its events in order: the searcher and ASHA get the same calls, so they are in the same state as before."""

from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Literal

import optuna
from optuna.trial import TrialState
from ray.tune.schedulers import ASHAScheduler

from taskprompt.checks.model import check_fits
from taskprompt.core.errors import CheckpointError, RecipeError
from taskprompt.core.events import Change
from taskprompt.runs.run import Run
from taskprompt.sweeps.run import SweepRun
from taskprompt.sweeps.sweep import Sweep
from taskprompt.sweeps.trials import TrialRow, best, follow

STARTUP = 5  # random trials before Optuna's TPE is used

Ended = Literal["done", "stopped", "failed"]
Tell = Callable[[TrialRow, Change, TrialRow | None], None]  # trial, its change, the best so far


class Journal:
    """The state of a sweep's search. `steps`: of the longest possible trial. `retry`: failed trials are continued,
    too."""

    def __init__(self, run: SweepRun, steps: int, tell: Tell, retry: bool = False):
        self.run, self.sweep, self.tell = run, run.sweep, tell
        self.rows: list[TrialRow] = []
        self.asked: list[Any] = []  # Optuna's trials
        self.fatal = ""  # an error that every trial would have
        self.space: dict[str, Any] = {n: r.distribution() for n, r in self.sweep.axes.items()}
        direction = "maximize" if self.sweep.maximizes else "minimize"
        self.study = optuna.create_study(sampler=sampler(self.sweep), direction=direction)
        self.asha = asha(self.sweep, steps)
        self._replay()
        for row in self.rows if retry else ():
            if row.state == "failed":
                self._note({"event": "again", "trial": row.number})
        self.unfinished = deque(row for row in self.rows if row.state == "running")

    def _replay(self) -> None:
        verdicts: dict[int, Ended | Literal[""]] = {}
        for event in self.run.journal():
            number = event["trial"]
            if event["event"] == "begin" and self._ask(event["values"]) != event["values"]:
                raise CheckpointError(
                    f"{self.run.path}: trial {number} has other values than this version of optuna, "
                    f"{optuna.__version__}, suggests. Resume with the version that started it, or start with --fresh."
                )
            follow(self.rows, event)
            if event["event"] == "report":
                verdicts[number] = self._judge(self.rows[number], event["last"])
            elif event["event"] == "end":
                self._close(self.rows[number])
        for row in self.rows:  # killed between a report and its effect
            if row.state == "running" and (verdict := verdicts.get(row.number)):
                self.end(row, verdict)

    @property
    def left(self) -> int:
        """Number of trials to start or continue."""
        return len(self.unfinished) + max(0, self.sweep.count - len(self.rows))

    def next(self) -> TrialRow | None:
        """The next trial to train, with its folder created; None if all have started.

        An invalid combination of values is recorded as a failed trial."""
        while self.left and not self.fatal:
            resumed = bool(self.unfinished)
            row = self.unfinished.popleft() if resumed else self._begin()
            self.tell(row, "resumed" if resumed else "begun", None)
            try:
                recipe = self.run.recipe(row.values)
                check_fits(recipe)
            except RecipeError as error:
                self.end(row, "failed", " ".join(error.problems))
                continue
            # Each evaluation saves a checkpoint, so that a trial is resumed where its journal ends.
            recipe = recipe.model_copy(update={"save_every": recipe.evaluate_every})
            with Run.start(self.run.run(row).path, recipe, resume=True):
                return row
        return None

    def _begin(self) -> TrialRow:
        number, values = len(self.rows), self._ask()
        self._note({"event": "begin", "trial": number, "values": values})
        return self.rows[number]

    def report(self, number: int, step: int, value: float, seconds: float, last: bool) -> bool:
        """Record a trial's evaluation, at its last step or before. Returns whether it should stop."""
        row = self.rows[number]
        if row.steps and step <= row.steps[-1]:  # a resumed trial repeats evaluations
            return row.state != "running"
        self._note({"event": "report", "trial": number, "step": step, "value": value, "seconds": seconds, "last": last})
        verdict = self._judge(row, last)
        if verdict:
            self.end(row, verdict)
        else:
            self._publish(row, "measured")
        return bool(verdict)

    def end(self, row: TrialRow, state: Ended, error: str = "") -> None:
        """A trial is done, stopped or failed."""
        self._note({"event": "end", "trial": row.number, "state": state, "error": error})
        self._close(row)
        self._publish(row, state)

    def _note(self, event: dict[str, Any]) -> None:
        self.run.note(event)
        follow(self.rows, event)

    def _publish(self, row: TrialRow, change: Change) -> None:
        self.run.write_results(self.rows, self.sweep)
        self.tell(row, change, best(self.rows, self.sweep))

    def _ask(self, begun: dict[str, Any] | None = None) -> dict[str, Any]:
        """Field -> value of the next trial. `begun`: its values, if it has started before."""
        number = len(self.asked)
        if self.asha is not None:
            self.asha.on_trial_add(None, named(number))  # type: ignore[arg-type]
        if self.sweep.searcher == "grid":
            self.asked.append(None)
            known = [row.values for row in self.rows]  # not a prefix: the grid may have grown since
            return begun or next(values for values in self.sweep.combinations() if values not in known)
        self.asked.append(self.study.ask(self.space))
        return {n: r.decode(self.asked[-1].params[n]) for n, r in self.sweep.axes.items()}

    def _judge(self, row: TrialRow, last: bool) -> Ended | Literal[""]:
        """'done' or 'stopped' if the newest report is a trial's last one; else empty."""
        step, value = row.steps[-1], row.measured[-1]
        asked = self.asked[row.number]
        if asked is not None and not self._told(asked):
            asked.report(value, step)
        if last:
            return "done"
        if self.asha is None:
            return ""
        word = self.asha.on_trial_result(None, named(row.number), {"step": step, "value": value})  # type: ignore[arg-type]
        return "stopped" if word == ASHAScheduler.STOP else ""

    def _told(self, asked: optuna.Trial) -> bool:
        """Whether Optuna was told that the trial ended. It accepts only one end, also if a failed trial is retried."""
        return self.study.trials[asked.number].state.is_finished()

    def _close(self, row: TrialRow) -> None:
        asked = self.asked[row.number]
        if asked is not None and not self._told(asked):
            state = {"done": TrialState.COMPLETE, "stopped": TrialState.PRUNED}.get(row.state, TrialState.FAIL)
            self.study.tell(asked, row.last if row.state == "done" else None, state=state)
        if self.asha is not None and row.state == "done":
            seen = {"step": row.steps[-1], "value": row.last}
            self.asha.on_trial_complete(None, named(row.number), seen)  # type: ignore[arg-type]


def sampler(sweep: Sweep) -> optuna.samplers.BaseSampler:
    """The seeded sampler. Running trials count as bad ones (constant liar), so that suggestions differ."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if sweep.searcher == "random":
        return optuna.samplers.RandomSampler(seed=sweep.seed)
    return optuna.samplers.TPESampler(seed=sweep.seed, n_startup_trials=STARTUP, constant_liar=True)


def asha(sweep: Sweep, steps: int) -> ASHAScheduler | None:
    """Ray's ASHA over optimizer steps; None if every trial trains to its end."""
    if sweep.asha is None:
        return None
    return ASHAScheduler(
        time_attr="step",
        metric="value",
        mode="max" if sweep.maximizes else "min",
        max_t=steps,
        grace_period=min(sweep.asha.grace, steps),
        reduction_factor=sweep.asha.reduction,
    )


def named(number: int) -> SimpleNamespace:
    """The only field of a trial that ASHA reads. Our numbers are kept when a sweep is resumed, Tune's ids are not."""
    return SimpleNamespace(trial_id=f"{number}")
