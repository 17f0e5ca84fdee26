"""Client of Ray's dashboard, which accepts jobs over HTTP; retries when the connection is lost."""

import logging
import os
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from typing import TypeVar
from urllib.parse import urlsplit

import requests
from ray.dashboard.modules import dashboard_sdk
from ray.exceptions import AuthenticationError
from ray.job_submission import JobSubmissionClient

from taskprompt.core.errors import ClusterError, JobError
from taskprompt.core.secrets import has_key
from taskprompt.core.text import shown

SECONDS = 10  # time-out of a request
UPLOAD_SECONDS = 600  # time-out of an upload
PATIENCE = 600  # seconds to retry after the connection was lost
LONGEST_WAIT = 15  # seconds between two attempts
VARIABLES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")  # these override any address that is passed to Ray
TOKEN = (
    "Set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH to the file that holds the cluster's token (or RAY_AUTH_TOKEN "
    "to the token itself); without both, Ray reads ~/.ray/auth_token."
)
T = TypeVar("T")
logging.getLogger(dashboard_sdk.__name__).setLevel(logging.WARNING)


def to_stderr(text: str) -> None:
    """Print a message for the user."""
    sys.stderr.write(shown(text))
    sys.stderr.flush()


class Client(JobSubmissionClient):
    """Ray's own client, with a time-out for every request. Without one, a dead connection would hang."""

    def _do_request(self, method, endpoint, *, data=None, json_data=None):
        seconds = UPLOAD_SECONDS if data else SECONDS  # for sending, and again for the response
        return super()._do_request(method, endpoint, data=data, json_data=json_data, timeout=(seconds, seconds))

    def python(self) -> str:
        """The Python that the head starts its workers with; 'python' if the head does not report it.

        Jobs are run by a shell, whose PATH often lacks the environment that Ray was started from."""
        answer = self._do_request("GET", "/nodes?view=summary")
        nodes = answer.json()["data"]["summary"] if answer.ok else []
        option = "--python_worker_command="
        for word in (w for n in nodes if n.get("raylet", {}).get("isHeadNode") for w in n.get("cmdline") or ()):
            if word.startswith(option):
                return word.removeprefix(option).split(" ")[0]
        return "python"

    def ask(self, question: Callable[[], T], tell: Callable[[str], None] = to_stderr, patience: float = PATIENCE) -> T:
        """The response to a request; retried with backoff while the connection to the cluster is lost.

        tell: called with one line when it is lost, and one when it is restored.
        Raises JobError for an unknown job, and ClusterError for a wrong token, another refusal, or a connection that is
        lost for more than `patience` seconds."""
        address, wait, end = self.get_address(), 0.5, None
        while True:
            try:
                answer = question()
            except AuthenticationError as error:
                raise _refused(address, error) from None
            except (requests.RequestException, RuntimeError) as error:
                if isinstance(error, RuntimeError) and "status code 5" not in str(
                    error
                ):  # Ray's wording for a response
                    raise _other(address, error) from None
                if end is None:
                    end = time.monotonic() + patience
                    tell(f"lost connection to {address} ({_reason(error)}); retrying for {patience:g} s\n")
                elif time.monotonic() > end:
                    raise ClusterError(
                        f"no connection to {address} within {patience:g} s. Submitted jobs continue there."
                    ) from None
                time.sleep(wait)
                wait = min(2 * wait, LONGEST_WAIT)
            else:
                if end is not None:
                    tell(f"connected to {address} again\n")
                return answer


def check_address(address: str) -> str:
    """An address as http://host:port. Raises ClusterError if it is invalid, or that of another service of Ray."""
    wanted = "expected the dashboard's, such as http://127.0.0.1:8265"
    if has_key(address):
        raise ClusterError(
            f"address {address!r}: keys must not be in an address, since it is logged. Give headers in the "
            'environment: RAY_JOB_HEADERS=\'{"Authorization": "Bearer ..."}\'.'
        )
    try:
        parts = urlsplit(address)
        scheme, host, port = parts.scheme, parts.hostname, parts.port
    except ValueError as error:
        raise ClusterError(f"address {address!r}: {error}; {wanted}.") from None
    if scheme not in ("http", "https") or not host:
        bare = "//" not in address
        hint = f" Did you mean http://{address.rpartition(':')[0] or address}:8265?" if bare and address else ""
        raise ClusterError(f"address {address!r} does not begin with http://; {wanted}.{hint}")
    if port == 6379:
        raise ClusterError(
            f"address {address!r}: 6379 is the port for drivers; {wanted}. Did you mean http://{host}:8265?"
        )
    return address.rstrip("/")


def connect(address: str) -> Client:
    """The client of the dashboard at an address.

    Raises ClusterError, within seconds, if the address is invalid, the port is closed or used by another service, or
    the token is missing or wrong."""
    address = check_address(address)
    try:
        with _without(VARIABLES):
            return Client(address)
    except AuthenticationError as error:
        raise _refused(address, error) from None
    except (ConnectionError, requests.ConnectionError, requests.Timeout):
        raise ClusterError(
            f"no connection to {address}. Give the address of the dashboard that `ray start --head` printed; from "
            "another machine, forward its port first: ssh -L 8265:127.0.0.1:8265 HEAD."
        ) from None
    except (RuntimeError, requests.RequestException, ValueError, KeyError) as error:
        text = str(error).strip().split("\n")[0].split(". ")[0]
        raise ClusterError(f"{address} is not a Ray dashboard: {text}. Check host and port.") from None


def _refused(address: str, error: Exception) -> ClusterError:
    why = "requires a token, and none was sent" if "required" in str(error) else "rejects the token that was sent"
    if "found" in str(error) and "Missing" not in str(error):
        why = "cannot be asked: RAY_AUTH_MODE is token, but there is no token"
    return ClusterError(f"{address} {why}. {TOKEN}")


def _other(address: str, error: RuntimeError) -> ClusterError | JobError:
    lines = [line for line in str(error).strip().splitlines() if line.strip()] or [""]
    if "404" in lines[0] and "does not exist" in str(error):
        return JobError(f"{lines[0].partition(': ')[2]} `taskprompt job list` shows those that do.")
    if "413" in lines[0]:
        return JobError(f"{address} rejects a package of this size. Ship less.")
    return ClusterError(f"{address} refused: {lines[-1].rstrip('.')}.")


def _reason(error: Exception) -> str:
    if isinstance(error, requests.Timeout):
        return "time-out"
    return str(error).strip().splitlines()[-1] if isinstance(error, RuntimeError) else type(error).__name__


@contextmanager
def _without(names: tuple[str, ...]):
    """In this context, some environment variables are unset."""
    kept = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)
