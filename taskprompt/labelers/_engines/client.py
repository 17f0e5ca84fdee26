"""Client of a server: concurrent requests, time-outs, retries, and errors that end a job."""

import asyncio
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from taskprompt.core.errors import SpecError
from taskprompt.labelers._engines import refused
from taskprompt.labelers._engines.address import Address, hidden, resolved
from taskprompt.labelers._engines.base import Query, Reply, Sampling
from taskprompt.labelers._engines.message import reply_of, request_of

if TYPE_CHECKING:
    from taskprompt.labelers._engines.remote import Server

REFUSALS = 2  # refused requests in a row, with no answer before, after which a grey image is tried
BREAKS = 3  # broken connections in a row, after which the job ends


class Remote:
    """complete(queries) -> replies in order of arrival. Requests run in a separate thread, each with its own
    time-out."""

    def __init__(self, spec: "Server", sampling: Sampling, key: str):
        self.spec, self.sampling = spec, sampling
        address = resolved(spec.url)
        self.secrets = tuple(s for s in (key, *address.secrets) if s)
        self.url = hidden(address.url, self.secrets)  # for messages
        self.keyed = bool(key)
        self.client = client_of(spec, address, key)
        self.pace = Pace(spec.per_minute)
        self.proven = False  # whether a request of this kind was accepted before
        self.refusals, self.breaks = 0, 0  # in a row
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def __call__(self, queries: Sequence[Query]) -> Iterator[list[tuple[int, Reply]]]:
        """Each query is one request. Raises SpecError, after all replies, for an error that every query would have."""
        done: queue.SimpleQueue = queue.SimpleQueue()
        job = asyncio.run_coroutine_threadsafe(self._all(queries, done), self.loop)
        job.add_done_callback(lambda _: done.put(None))
        try:
            ended = False
            while not ended:
                found = [done.get()]
                while not done.empty():
                    found.append(done.get())
                ended = found[-1] is None
                if replies := [one for one in found if one is not None]:
                    yield replies
            job.result()
        finally:
            job.cancel()

    async def _all(self, queries: Sequence[Query], done: queue.SimpleQueue) -> None:
        """One at a time until a request is accepted, then `at_once` in parallel; waits for all open requests."""
        waiting = deque(enumerate(queries))
        stops: list[SpecError] = []

        async def work(alone: bool) -> None:
            while waiting and not stops and not (alone and self.proven):
                place, query = waiting.popleft()
                try:
                    done.put((place, await self._one(query)))
                except SpecError as error:
                    stops.append(error)

        await work(alone=True)
        await asyncio.gather(*(work(alone=False) for _ in range(min(self.spec.at_once, len(waiting)))))
        if stops:
            raise stops[0]

    async def _one(self, query: Query) -> Reply:
        """Raises SpecError for errors that end the job."""
        import openai

        try:
            found = await self._tried(query)
        except TimeoutError:
            self.proven = True
            return Reply(error=f"no answer within {self.spec.timeout:g} s, {self.spec.retries + 1} times")
        except openai.APIConnectionError as error:
            return self._broken(error)
        except openai.APIStatusError as error:
            return await self._refused(query, error)
        except Exception as error:  # the answer is untrusted
            return Reply(error=f"the server's answer cannot be read: {self._clean(error)}")
        self.proven, self.refusals, self.breaks = True, 0, 0
        reply = reply_of(found)
        return replace(reply, error=self._clean(reply.error)) if reply.error else reply

    async def _tried(self, query: Query) -> Any:
        """The server's answer, or the exception of the last attempt. The time-out is for each whole attempt."""
        import openai

        headers = {} if self.keyed else {"Authorization": openai.Omit()}
        request = request_of(query, self.spec.model, self.sampling, self.spec.parameters)
        problem: Exception = TimeoutError()
        for attempt in range(self.spec.retries + 1):
            await asyncio.sleep(self.pace.turn())
            try:
                async with asyncio.timeout(self.spec.timeout):
                    return await self.client.chat.completions.create(**request, extra_headers=headers)
            except openai.APITimeoutError as error:
                problem, header = TimeoutError(str(error)), None
            except (TimeoutError, openai.APIConnectionError) as error:
                problem, header = error, None
            except openai.APIStatusError as error:
                later = error.status_code in refused.LATER or error.status_code >= 500
                if not later or refused.ends_the_job(error.status_code, error.body):
                    raise
                problem, header = error, error.response.headers.get("retry-after")
            if attempt < self.spec.retries:
                await asyncio.sleep(refused.wait(attempt, header))
        raise problem

    def _broken(self, error: Exception) -> Reply:
        """No connection: ends the job. One broken connection may be due to its image; several in a row end the job."""
        import httpx

        self.proven, self.breaks = True, self.breaks + 1
        why = ": ".join(filter(None, map(self._clean, (error, error.__cause__ or ""))))
        if self.breaks >= BREAKS or isinstance(error.__cause__, httpx.ConnectError | httpx.ConnectTimeout):
            raise SpecError(
                f"server.url {self.url}: no connection, {self.spec.retries + 1} times: {why}. "
                "Start the server, or correct the address; answers so far are kept."
            ) from None
        return Reply(error=f"the connection broke, {self.spec.retries + 1} times: {why}")

    async def _refused(self, query: Query, error: Any) -> Reply:
        status, why = error.status_code, self._clean(error)
        where = f"server {self.url}, model {self.spec.model!r}: HTTP {status}: {why}"
        if advice := refused.ends_the_job(status, error.body):
            raise SpecError(f"{where}. {advice}; answers so far are kept.") from None
        if status not in (400, 422) or self.proven:
            self.proven = True
            return Reply(error=f"HTTP {status}: {why}")
        self.refusals += 1
        if self.refusals >= REFUSALS and not await self._takes_grey(query):
            raise SpecError(
                f"{where}. It also refuses a plain grey image: change the prompt or `server.parameters`."
            ) from None
        return Reply(error=f"HTTP {status}: {why}")

    async def _takes_grey(self, query: Query) -> bool:
        """Whether the same question is accepted for a plain grey image."""
        import openai

        self.proven = True
        try:
            await self._tried(replace(query, picture=np.full_like(query.picture, 128)))
        except openai.APIStatusError as error:
            return error.status_code not in (400, 422)
        except (TimeoutError, openai.APIError):
            return True  # another error than a refusal
        return True

    def _clean(self, what: Any) -> str:
        """In one line of at most 300 characters, without its last period and without secrets that servers may quote."""
        return hidden(" ".join(str(what).split()), self.secrets)[:300].rstrip(".")


class Pace:
    """A rate limit: at most `per_minute` turns per minute, evenly spread."""

    def __init__(self, per_minute: float | None):
        self.gap = 60 / per_minute if per_minute else 0.0
        self.next, self.lock = time.monotonic(), threading.Lock()

    def turn(self) -> float:
        """Seconds until this caller's turn."""
        with self.lock:
            now = time.monotonic()
            mine = max(now, self.next)
            self.next = mine + self.gap
        return mine - now


def client_of(spec: "Server", address: Address, key: str) -> Any:
    """OpenAI's client, without its own retries and time-outs. Redirects are not followed: a POST would become a GET."""
    import httpx
    import openai

    if address.query:  # the client logs full URLs
        logging.getLogger("httpx").setLevel(logging.WARNING)
    if key and address.password:
        raise SpecError("server: both the address's password and `key` would set the same header. Keep one.")
    login = httpx.BasicAuth(address.user, address.password) if address.user or address.password else None
    return openai.AsyncOpenAI(
        api_key=key or "none",
        base_url=address.url,
        default_query=address.query,
        timeout=spec.timeout,
        max_retries=0,
        http_client=openai.DefaultAsyncHttpxClient(follow_redirects=False, auth=login),
    )
