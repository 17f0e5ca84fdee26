"""Addresses of servers; secrets in them are kept out of recipes, messages and logs."""

import os
import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote, urlsplit, urlunsplit

from taskprompt.core.errors import SpecError
from taskprompt.core.secrets import masked

PREFIX = "env:"  # before the name of an environment variable that holds the address
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
QUERY_IS_SECRET = re.compile(r"key|token|secret|passw|sig|auth|credential|code|session|jwt", re.IGNORECASE)
# Looks like a key, in a path or as a variable's name: many digits among letters, unlike model names.
LIKE_A_KEY = re.compile(r"(?=(?:[A-Za-z]*[0-9]){4})(?=(?:[0-9]*[A-Za-z]){4})[A-Za-z0-9]{20,}")


@dataclass(frozen=True, slots=True)
class Address:
    """A server's address in parts."""

    url: str  # without secrets
    query: dict[str, str]
    user: str = ""
    password: str = ""

    @property
    def secrets(self) -> tuple[str, ...]:
        """Strings that no message may show."""
        asked = (value for name, value in self.query.items() if QUERY_IS_SECRET.search(name))
        return tuple(s for s in (self.password, *asked, *LIKE_A_KEY.findall(urlsplit(self.url).path)) if s)


def check_address(url: str) -> str:
    """Check a recipe's `server.url`. Raises SpecError if it is not an address, or has a password or key in it."""
    if url.startswith(PREFIX):
        return check_variable(url.removeprefix(PREFIX), PREFIX) and url
    found = parsed(url)
    if found.user or found.secrets:
        raise SpecError(
            f"{hidden(url, found.secrets)} contains a password or a key, and recipes are stored with runs. Put "
            "the address into an environment variable where the actors run, and name it, such as url: env:CAPTION_URL; "
            "for a key alone, use `key`."
        )
    return url


def check_variable(name: str, before: str = "") -> str:
    """The name of an environment variable. Raises SpecError, without showing it, if it looks like the secret itself."""
    if not NAME.fullmatch(name) or LIKE_A_KEY.fullmatch(name):
        raise SpecError(
            f"expected {before}NAME of an environment variable, such as {before}CAPTION_KEY; found {len(name)} "
            "characters that are not a name. Export the secret in the environment, and give the variable's name here."
        )
    return name


def resolved(url: str) -> Address:
    """The address, in the actor. Raises SpecError if the variable is not set there, or is not an address."""
    if not url.startswith(PREFIX):
        return parsed(url)
    name = url.removeprefix(PREFIX)
    if not os.environ.get(name):
        raise SpecError(f"server.url: the environment has no {name!r}. Export it where the actors run.")
    return parsed(os.environ[name])


def parsed(url: str) -> Address:
    """Raises SpecError if it is not an http address."""
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if parts.scheme not in ("http", "https") or not host:
        raise SpecError(f"{masked(url)!r} is not the address of a server, expected one such as http://host:8000/v1.")
    host = f"[{host}]" if ":" in host else host
    bare = urlunsplit((parts.scheme, f"{host}:{port}" if port else host, parts.path, "", ""))
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    return Address(bare, query, unquote(parts.username or ""), unquote(parts.password or ""))


def hidden(text: str, secrets: tuple[str, ...]) -> str:
    """A text without the secrets, also url-encoded ones, and prefixes that servers quote."""
    for secret in secrets:
        if len(secret) < 4:
            continue  # too short to search for; keys in addresses are masked below
        for form in {secret, quote(secret, safe=""), quote(secret)}:
            text = re.sub(re.escape(form), "***", text, flags=re.IGNORECASE)
        if len(secret) >= 12:
            text = re.sub(re.escape(secret[:6]) + r"[^\s\"',;)]*", "***", text)
    return masked(text)
