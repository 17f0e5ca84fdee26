"""What a server's refusal means: for this clip alone, for later, or for every request that could be sent."""

import re
from typing import Any

# Of error.code and error.type: the account is empty, so that no request will be answered.
QUOTA = {
    "insufficient_quota",
    "billing_hard_limit_reached",
    "billing_not_active",
    "insufficient_user_quota",
    "insufficient_balance",
    "access_terminated",
    "quota_exhausted",
    "payment_required",
    "credits_exhausted",
}
EMPTY = re.compile(r"insufficient[ _](balance|credits?|funds)|credit balance is too low|out of credits", re.IGNORECASE)
# The request has a parameter that this model or server does not take.
PARAMETER = {"unsupported_parameter", "unsupported_value", "unknown_parameter", "unrecognized_parameter"}
UNKNOWN = re.compile(
    r"unsupported parameter|unsupported value|unrecognized request argument|unknown parameter|extra_forbidden"
    r"|extra inputs are not permitted|unexpected keyword argument",
    re.IGNORECASE,
)
LATER = {408, 409, 429}  # and 5xx
NEVER = {401, 402, 403, 404, 405}
LONGEST = 60.0  # seconds of a Retry-After that are waited


def facts(body: Any) -> tuple[set[str], str]:
    """error.code and error.type, and error.message, of an answer in JSON; whatever is there."""
    error = body.get("error", body) if isinstance(body, dict) else {}
    error = error if isinstance(error, dict) else {"message": error}
    return {str(error[k]).lower() for k in ("code", "type") if error.get(k)}, str(error.get("message") or "")


def ends_the_job(status: int, body: Any) -> str:
    """What to do, where no other request would be answered either; else empty."""
    codes, message = facts(body)
    if codes & QUOTA or status == 402 or (status in (400, 403, 429) and EMPTY.search(message)):
        return "The quota is used up: pay, or take another `key`"
    if status in (400, 422) and (codes & PARAMETER or UNKNOWN.search(f"{message} {body}")):
        return "Change or leave out the parameter in `server.parameters` (null leaves one out)"
    if status in NEVER:
        return "Correct `key`, `model` or `url`"
    if 300 <= status < 400:
        return "It sends requests elsewhere: give that address as `url`"
    return ""


def wait(attempt: int, header: str | None) -> float:
    """Seconds before the next attempt: what the server asks for, if that is not too long; else 0.5, 1, 2 ... 8."""
    try:
        asked = float(header or 0)
    except ValueError:  # a date
        asked = 0.0
    return asked if 0 < asked <= LONGEST else min(0.5 * 2**attempt, 8.0)
