"""Jobs: `fit` on a cluster that runs elsewhere, sent to its dashboard, followed from here, and stopped on request."""

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

STOP_SECONDS = 60  # that a job may take to end
BYTES_A_SECOND = 1 << 18  # of log to ask for: each time Ray sends all of it
ENDED = ("SUCCEEDED", "FAILED", "STOPPED")

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Job:
    """A training that was submitted to a cluster."""

    id: str  # its name there
    address: str  # the cluster's dashboard, http://host:port
    place: str  # the run's folder, as the cluster's machines see it

    @classmethod
    def open(cls, id: str, address: str) -> "Job":
        """A job that was submitted earlier. Raises JobError where the cluster does not know it, and ClusterError."""
        client = _connect(address)
        info = client.ask(lambda: client.get_job_info(id))
        return cls(id, client.get_address(), (info.metadata or {}).get("out", ""))

    def status(self) -> str:
        """PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED."""
        client = _connect(self.address)
        return str(client.ask(lambda: client.get_job_status(self.id)))

    def logs(self) -> str:
        """All that the job has written so far. Raises JobError where the cluster does not know it, and ClusterError."""
        client = _connect(self.address)
        return client.ask(lambda: client.get_job_logs(self.id))

    def follow(self, tell: Tell | None = None, patience: float = 600) -> None:
        """Hand on the job's log, whole lines at a time, until the job ends. A lost connection is taken up again.

        tell: called with text; None writes to the standard output. patience: seconds for a cluster that was lost.
        Raises JobError where the job failed, with its own last words, or was stopped; and ClusterError."""
        tell, client, told = tell or _to_stdout, _connect(self.address), 0

        def news() -> tuple[Any, str]:  # in this order: the log of a job that has ended is whole
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
            raise JobError(f"job {self.id} failed: {last_words(info, log)}")
        if info.status == "STOPPED":
            raise JobError(f"job {self.id} was stopped. To go on with {self.place}, submit it again with --resume.")

    def stop(self) -> str:
        """End the job, and return how it ended once it has. What it saved can be gone on with.

        Raises JobError where it does not end within a minute, and ClusterError."""
        client = _connect(self.address)
        end = time.monotonic() + STOP_SECONDS
        while (status := str(client.ask(lambda: client.get_job_status(self.id)))) not in ENDED:
            if time.monotonic() > end:
                raise JobError(f"job {self.id} is still {status} after {STOP_SECONDS} s. Try again, or end its driver.")
            # More than once: Ray does not keep a request that comes before the job has started.
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
    """Send `fit` to a Ray cluster that runs elsewhere, and return as soon as the cluster has it.

    The recipe travels merged and expanded, with taskprompt, the modules of your own kinds, and what `ship` names.
    overrides: 'key=value' changes of a recipe's file. address: of the cluster's dashboard, such as
    http://127.0.0.1:8265. out: the run's folder, absolute, as all machines of the cluster see it, or a URI that `fit`
    takes. resume, fresh: as for fit. ship: more files and folders; those below the working folder keep their path.
    python: what starts Python on the cluster's head; None: what the head starts its workers with. tell: called with the
    list of what travels and what stays behind; None writes to the standard error.

    Files that hold keys (.env, id_rsa, *.pem, credentials.json, ...), folders of tools (.git, .venv, .ssh, ...) and
    what links out of a folder point at never travel.

    Raises RecipeError for what can be seen wrong from here, JobError for what cannot be sent, and ClusterError."""
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
                if f"{job.id} already exists" not in str(error):  # then it had arrived, and the answer was lost
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
    """A recipe as it travels, and a name for its job. All that can be known here is checked: data may lie elsewhere.

    Raises RecipeError."""
    if isinstance(recipe, Recipe):
        if overrides:
            raise RecipeError("overrides", ["are for a recipe's file. Give them to Recipe.load."])
        data, where = recipe.model_dump(mode="json"), "recipe"
    else:
        data, where = read(recipe, overrides), str(recipe)
    check_fits(validate(data, where, Recipe, check_sources=False))
    return data, re.sub(r"[^A-Za-z0-9_-]", "-", Path(where).stem)


def check_place(out: str) -> str:
    """The run's folder: absolute on the cluster, or a URI. Raises JobError for a relative one, or one with keys."""
    if has_key(out):
        raise JobError(
            f"--out {out}: keys do not belong into an address, which ends in logs and in the job's command line. Set "
            "them in the cluster's environment: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, for instance."
        )
    if "://" not in out and not PurePosixPath(out).is_absolute():
        raise JobError(
            f"--out {out}: is relative, and the folder that a job starts in is thrown away with it. Give an absolute "
            "path that all machines of the cluster see, such as /shared/runs/first."
        )
    return out


def last_words(info: Any, log: str) -> str:
    """Why a job failed: taskprompt's own error at the end of its log, or else the last that is known of it."""
    # Ray's line on the command may come behind what a command says that ends at once.
    lines = [n for n in log.splitlines() if n.strip() and not n.startswith("Running entrypoint for job ")] or [""]
    own = [i for i, line in enumerate(lines) if line.startswith("taskprompt: ")]
    if own and not any(line.startswith("Traceback") for line in lines[own[-1] :]):
        problems = takewhile(lambda line: line.startswith("  "), lines[own[-1] + 1 :])
        return "\n".join([lines[own[-1]].removeprefix("taskprompt: "), *problems])
    if info.driver_exit_code in (126, 127):
        return f"{lines[-1]}. Name a Python that the cluster has with --python."
    if info.driver_exit_code is not None:
        return f"its command ended with {info.driver_exit_code}; the log's last line: {lines[-1]}"
    return " ".join(str(info.message).split())[:500]


def _connect(address: str) -> Any:
    from taskprompt.runtime.jobs.dashboard import connect  # with ray, which importing taskprompt leaves alone

    return connect(address)


def _to_stdout(text: str) -> None:
    sys.stdout.write(printable(text, colours=True))
    sys.stdout.flush()
