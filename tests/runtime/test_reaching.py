"""Reaching a cluster: addresses that are none, nobody there, and a token that is refused, each in one line."""

import os

import pytest

from taskprompt.core.errors import ClusterError
from taskprompt.runtime.cluster.connect import captured_stderr, check_listening, unreachable

# What Ray 2.60 writes to standard error, twenty times, where the token is wrong; its exception does not say so.
SAID = b"gcs_client.cc:210: Failed: Unauthenticated: RPC error: InvalidAuthToken: Token is incorrect\n"


@pytest.mark.parametrize(
    ("address", "words"),
    [("127.0.0.1", "this is not host:port"), ("127.0.0.1:1", "Connection refused")],
)
def test_who_is_not_there_is_not_waited_for(address, words):
    with pytest.raises(ClusterError, match=words) as error:
        check_listening(address)
    assert "Give 'local', 'auto', or host:port of a running head" in str(error.value)


def test_what_the_core_says_is_heard_and_not_shown(capfd):
    with captured_stderr() as said:
        os.write(2, SAID * 2)
    os.write(2, b"after")
    assert said == [(SAID * 2).decode()]
    assert capfd.readouterr().err == "after"


def test_a_refused_token():
    text = unreachable("10.0.0.5:6379", "Token is incorrect")
    assert text.startswith(
        "cluster '10.0.0.5:6379' rejects this token: Token is incorrect. Set RAY_AUTH_MODE=token, and"
    )
