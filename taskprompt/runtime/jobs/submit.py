"""Jobs: `fit` on a remote cluster, submitted to its dashboard, followed and stopped from here."""

import re
import shlex
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import Any

from taskprompt.checks.model import check_fits
from taskprompt.core.errors import JobError, RecipeError
from taskprompt.core.secrets import has_key
from taskprompt.core.text import printable, say
from taskprompt.recipe.files import read, validate
from taskprompt.recipe.recipe import Recipe
from taskprompt.runs.lock import check_one
from taskprompt.runtime.jobs.package import RECIPE, START, contents, pack

STOP_SECONDS = 60  # for a job to end
BYTES_A_SECOND = 1 << 18  # of log to request: Ray always sends the whole log
ENDED = ("SUCCEEDED", "FAILED", "STOPPED")

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Job:
    """A training job on a cluster."""

    id: str  # its name on the cluster
    address: str  # the cluster's dashboard, http://host:port
    place: str  # the run's folder on the cluster

    @classmethod
    def open(cls, id: str, address: str) -> "Job":
        """A job that was submitted earlier. Raises JobError if the cluster does not have it, and ClusterError."""
        client = _connect(address)
        info = client.ask(lambda: client.get_job_info(id))
        return cls(id, client.get_address(), (info.metadata or {}).get("out", ""))

    def status(self) -> str:
        """PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED."""
        client = _connect(self.address)
        return str(client.ask(lambda: client.get_job_status(self.id)))

    def logs(self) -> str:
        """The job's log so far. Raises JobError if the cluster does not have the job, and ClusterError."""
        client = _connect(self.address)
        return client.ask(lambda: client.get_job_logs(self.id))

    def follow(self, tell: Tell | None = None, patience: float = 600) -> None:
        """Pass on the job's log, in whole lines, until the job ends. A lost connection is retried.

        tell: called with text; None writes to standard output. patience: seconds to retry a lost connection. Raises
        JobError if the job failed, with its error, or was stopped; and ClusterError."""
        tell, client, told = tell or _to_stdout, _connect(self.address), 0

        def news() -> tuple[Any, str]:  # in this order, so that the log of an ended job is complete
            return client.get_job_info(self.id), client.get_job_logs(self.id)

        while True:
            info, log = client.ask(news, tell, patience)
            ended = str(info.status) in ENDED
            until = len(log) if ended else log.rfind("\n") + 1
            if until > told:
                tell(log[told:until])
                told = until
            if ended:
                break
            time.sleep(min(max(1.0, len(log) / BYTES_A_SECOND), 10.0))
        if info.status == "FAILED":
            raise JobError(f"job {self.id} failed: {failure_reason(info, log)}")
        if info.status == "STOPPED":
            raise JobError(f"job {self.id} was stopped. To continue {self.place}, submit it again with --resume.")

    def stop(self) -> str:
        """Stop the job, and return its final status. It can be resumed from its newest checkpoint.

        Raises JobError if it does not end within a minute, and ClusterError."""
        client = _connect(self.address)
        end = time.monotonic() + STOP_SECONDS
        while (status := str(client.ask(lambda: client.get_job_status(self.id)))) not in ENDED:
            if time.monotonic() > end:
                raise JobError(f"job {self.id} is still {status} after {STOP_SECONDS} s. Try again, or end its driver.")
            # Repeated, since Ray ignores a request that arrives before the job has started.
            client.ask(lambda: client.stop_job(self.id))
            time.sleep(1)
        return status


def submit(
    recipe: Recipe | str | Path,
    overrides: list[str] | tuple[str, ...] = (),
    *,
    address: str,
    out: str,
    resume: bool = False,
    fresh: bool = False,
    ship: Iterable[str | Path] = (),
    python: str | None = None,
    tell: Tell | None = None,
) -> Job:
    """Submit `fit` to a remote Ray cluster, and return as soon as the cluster has accepted it.

    The merged and expanded recipe is sent, with taskprompt, the modules of your own kinds, and the files in `ship`.
    overrides: 'key=value' changes of a recipe's file. address: of the cluster's dashboard, such as
    http://127.0.0.1:8265. out: the run's folder, an absolute path that all machines of the cluster share, or a URI that
    `fit` takes. resume, fresh: as for fit. ship: more files and folders; those below the working directory keep their
    path. python: Python on the cluster's head; None: that of its workers. tell: called with the list of sent and
    omitted files; None writes to standard error.

    Files with keys (.env, id_rsa, *.pem, credentials.json, ...), folders of tools (.git, .venv, .ssh, ...) and targets
    of links out of a folder are never sent.

    Raises RecipeError for errors that can be found locally, JobError for files that cannot be sent, and
    ClusterError."""
    from taskprompt.runtime.jobs.dashboard import check_address

    check_one(resume, fresh)
    address, place = check_address(address), check_place(out)
    data, name = checked(recipe, overrides)
    words = [START, "fit", RECIPE, "--out", place, "--cluster", "auto", *["--resume"] * resume, *["--fresh"] * fresh]
    job = Job(f"{name}-{uuid.uuid4().hex[:8]}", address, place)
    found = contents(data, ship)
    (tell or partial(say, file=sys.stderr))("\n".join(found.lines()))
    with tempfile.TemporaryDirectory() as folder:
        package = pack(Path(folder, "package.zip"), found)
        client = _connect(address)

        def send() -> None:
            try:
                client.submit_job(
                    entrypoint=shlex.join([python or client.python(), *words]),
                    submission_id=job.id,
                    runtime_env={"working_dir": str(package), "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": "15"}},
                    metadata={"taskprompt": version("taskprompt"), "out": place},
                )
            except RuntimeError as error:
                if f"{job.id} already exists" not in str(error):  # then it was accepted, and the response was lost
                    raise

        client.ask(send)
    return job


def jobs(address: str) -> dict[Job, str]:
    """The jobs that taskprompt submitted to a cluster, newest first, each with its status."""
    client = _connect(address)
    found = client.ask(client.list_jobs)
    ours = [j for j in found if j.submission_id and "taskprompt" in (j.metadata or {})]
    ours.sort(key=lambda j: j.start_time or 0, reverse=True)
    return {
        Job(str(j.submission_id), client.get_address(), (j.metadata or {}).get("out", "")): str(j.status) for j in ours
    }


def checked(recipe: Recipe | str | Path, overrides: list[str] | tuple[str, ...]) -> tuple[dict[str, Any], str]:
    """A recipe as it is sent, and a name for its job. Checked locally, without data, which may be on the cluster.

    Raises RecipeError."""
    if isinstance(recipe, Recipe):
        if overrides:
            raise RecipeError("overrides", ["need a recipe's file. Pass them to Recipe.load."])
        data, where = recipe.model_dump(mode="json"), "recipe"
    else:
        data, where = read(recipe, overrides), str(recipe)
    check_fits(validate(data, where, Recipe, check_sources=False))
    return data, re.sub(r"[^A-Za-z0-9_-]", "-", Path(where).stem)


def check_place(out: str) -> str:
    """The run's folder: absolute on the cluster, or a URI. Raises JobError for a relative one, or one with keys."""
    if has_key(out):
        raise JobError(
            f"--out {out}: keys must not be in an address, since it is in logs and in the job's command line. Set "
            "them in the cluster's environment: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, for instance."
        )
    if "://" not in out and not PurePosixPath(out).is_absolute():
        raise JobError(
            f"--out {out}: is relative, and the working directory of a job is deleted with it. Give an absolute "
            "path that all machines of the cluster share, such as /shared/runs/first."
        )
    return out


def failure_reason(info: Any, log: str) -> str:
    """Why a job failed: taskprompt's own error at the end of its log, else the last line or status."""
    # Ray's line about the command may come after the output of a command that ends at once.
    lines = [n for n in log.splitlines() if n.strip() and not n.startswith("Running entrypoint for job ")] or [""]
    own = [i for i, line in enumerate(lines) if line.startswith("taskprompt: ")]
    if own and not any(line.startswith("Traceback") for line in lines[own[-1] :]):
        problems = takewhile(lambda line: line.startswith("  "), lines[own[-1] + 1 :])
        return "\n".join([lines[own[-1]].removeprefix("taskprompt: "), *problems])
    if info.driver_exit_code in (126, 127):
        return f"{lines[-1]}. Set --python to a Python on the cluster."
    if info.driver_exit_code is not None:
        return f"its command ended with {info.driver_exit_code}; the log's last line: {lines[-1]}"
    return " ".join(str(info.message).split())[:500]


def _connect(address: str) -> Any:
    from taskprompt.runtime.jobs.dashboard import connect  # lazy: imports ray

    return connect(address)


def _to_stdout(text: str) -> None:
    sys.stdout.write(printable(text, colours=True))
    sys.stdout.flush()
