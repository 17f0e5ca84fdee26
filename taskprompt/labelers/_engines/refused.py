"""Classification of a server's error: for this clip only, temporary, or for every request."""

import re
from typing import Any

# Values of error.code and error.type: quota exhausted, so no request will be answered.
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
# The request has a parameter that this model or server does not support.
PARAMETER = {"unsupported_parameter", "unsupported_value", "unknown_parameter", "unrecognized_parameter"}
UNKNOWN = re.compile(
    r"unsupported parameter|unsupported value|unrecognized request argument|unknown parameter|extra_forbidden"
    r"|extra inputs are not permitted|unexpected keyword argument",
    re.IGNORECASE,
)
LATER = {408, 409, 429}  # and 5xx
NEVER = {401, 402, 403, 404, 405}
LONGEST = 60.0  # seconds of a Retry-After to wait


def facts(body: Any) -> tuple[set[str], str]:
    """error.code and error.type, and error.message, of a JSON response, as far as present."""
    error = body.get("error", body) if isinstance(body, dict) else {}
    error = error if isinstance(error, dict) else {"message": error}
    return {str(error[k]).lower() for k in ("code", "type") if error.get(k)}, str(error.get("message") or "")


def ends_the_job(status: int, body: Any) -> str:
    """What to do, if every request would fail; else empty."""
    codes, message = facts(body)
    if codes & QUOTA or status == 402 or (status in (400, 403, 429) and EMPTY.search(message)):
        return "The quota is exhausted: raise it, or use another `key`"
    if status in (400, 422) and (codes & PARAMETER or UNKNOWN.search(f"{message} {body}")):
        return "Change or remove the parameter in `server.parameters` (null removes one)"
    if status in NEVER:
        return "Correct `key`, `model` or `url`"
    if 300 <= status < 400:
        return "It redirects requests: give the target address as `url`"
    return ""


def wait(attempt: int, header: str | None) -> float:
    """Seconds before the next attempt: the server's Retry-After, up to LONGEST; else 0.5, 1, 2 ... 8."""
    try:
        asked = float(header or 0)
    except ValueError:  # a date
        asked = 0.0
    return asked if 0 < asked <= LONGEST else min(0.5 * 2**attempt, 8.0)
