"""Ray Tune's searcher, scheduler and stopper, which delegate to the journal; it is not in Tune's own snapshots."""

from pathlib import Path
from typing import Any

from ray.tune import Stopper
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from taskprompt.runtime.sweeps.journal import Journal


class JournalSearcher(Searcher):
    """Suggests the next trial."""

    def __init__(self, journal: Journal):
        super().__init__()
        self.journal = journal
        self.numbers: dict[str, int] = {}  # Tune's trial id -> our number

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        row = self.journal.next()
        if row is None:
            return Searcher.FINISHED
        self.numbers[trial_id] = row.number
        return {"number": row.number, "path": str(self.journal.run.run(row).path), "metric": self.journal.sweep.metric}

    def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
        row = self.journal.rows[self.numbers[trial_id]]
        if error and row.state == "running":  # its process was lost too often
            self.journal.end(row, "failed", row.error or "its process was lost.")

    def save(self, checkpoint_path: str) -> None:
        """No-op: the journal has the state."""

    def restore(self, checkpoint_path: str) -> None:
        """No-op: the journal has the state."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class JournalScheduler(FIFOScheduler):
    """Decides whether a trial continues."""

    def __init__(self, journal: Journal):
        super().__init__()
        self.journal = journal

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict) -> str:
        row = self.journal.rows[result["number"]]
        if "fatal" in result:
            self.journal.fatal = result["fatal"]
            return TrialScheduler.STOP
        if "error" in result:
            self.journal.end(row, "failed", result["error"])
            return TrialScheduler.STOP
        stop = self.journal.report(row.number, result["step"], result["value"], result["seconds"], result["last"])
        return TrialScheduler.STOP if stop else TrialScheduler.CONTINUE

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        text = Path(trial.error_file).read_text(encoding="utf-8").strip()
        self.journal.rows[trial.config["number"]].error = text.splitlines()[-1].strip()

    def __getstate__(self) -> dict[str, Any]:
        return {}


class JournalStopper(Stopper):
    """Ends the sweep after a fatal error."""

    def __init__(self, journal: Journal):
        self.journal = journal

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return bool(self.journal.fatal)

    def __getstate__(self) -> dict[str, Any]:
        return {}
