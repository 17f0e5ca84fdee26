"""Masking of keys in addresses, for everything that is shown, logged, written or sent."""

import re
from typing import Any

from taskprompt.core.values import is_mapping, is_sequence

MASK = "***"
SCHEME = r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://"
# For these schemes the text before '@' is a name, not a key, unless it contains a colon: a container, user or owner.
NAMED = {"abfs", "abfss", "wasb", "wasbs", "hdfs", "viewfs", "ssh", "sftp", "github"}
# user:password@, where the password may contain slashes, as in S3; a port has only digits.
USER = re.compile(rf"{SCHEME}(?P<who>[^\s/?#'\"<>]*|[^\s/?#'\"<>:@\[]*:(?!:|\d{{1,5}}[/?#])(?:(?!://)[^\s'\"<>])*)@")
# ?token=..., &X-Amz-Signature=..., ;secret_key=...
NAME = (
    r"[\w.%-]*(?:key|key_?id|token|secret|signature|credentials?|passw(?:or)?d|passphrase|pwd|auth|access_?id)"
    r"|sig|pass|code|jwt|sas"
)
QUERY = re.compile(rf"(?P<name>[?&;#](?:{NAME})=)[^\s&;#'\"<>]+", re.IGNORECASE)
BEARER = re.compile(r"(?P<name>\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{12,}", re.IGNORECASE)


def masked(text: str) -> str:
    """The text with the keys of all addresses in it replaced by '***': s3://KEY:SECRET@bucket, ?token=..., Bearer ....

    Everything else is kept, so that an address can still be recognised."""
    if "://" in text:
        text = USER.sub(_mask_user, text)
        text = QUERY.sub(rf"\g<name>{MASK}", text)
    return BEARER.sub(rf"\g<name>{MASK}", text) if "earer" in text or "asic" in text else text


def has_key(text: str) -> bool:
    """Whether an address in this text contains a key."""
    return masked(text) != text


def masked_data(data: Any) -> Any:
    """Nested data with every string `masked`, including keys of mappings."""
    if isinstance(data, str):
        return masked(data)
    if is_mapping(data):
        return {masked_data(k): masked_data(v) for k, v in data.items()}
    return type(data)(map(masked_data, data)) if is_sequence(data) else data


def _mask_user(found: re.Match[str]) -> str:
    scheme, who = found["scheme"], found["who"]
    if who == MASK or not who or (scheme.lower() in NAMED and (":" not in who or scheme.lower() == "github")):
        return found[0]
    return f"{scheme}://{MASK}@"
