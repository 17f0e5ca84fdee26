"""Keys of addresses are masked, and foreign text does nothing where it is shown."""

import pytest

from taskprompt.core.errors import RecipeError, SampleError, TaskPromptError
from taskprompt.core.secrets import has_key, masked, masked_data
from taskprompt.core.text import latex, markdown, one_line, printable, say

HIDDEN = "SeCrEt"


@pytest.mark.parametrize(
    "address",
    [
        f"s3://AKIA:{HIDDEN}@bucket/run",
        f"s3://AKIA:{HIDDEN}/with/slash+{HIDDEN}@bucket/run",
        f"s3://AKIA:{HIDDEN}?#{HIDDEN}@bucket/run",
        f"s3://bucket/run?access_key=AKIA&secret_key={HIDDEN}",
        f"https://{HIDDEN}@host/path",
        f"https://user:{HIDDEN}@host:8000/v1",
        f"https://user:{HIDDEN}@@host:8000/v1",
        f"https://bucket.s3.amazonaws.com/x?X-Amz-Signature={HIDDEN}&X-Amz-Expires=3",
        f"https://acc.blob.core.windows.net/c/x?sv=1&sig={HIDDEN}",
        f"https://host/x#access_token={HIDDEN}",
        f"https://host/x?AWSAccessKeyId={HIDDEN}&GoogleAccessId={HIDDEN}&apikey={HIDDEN}&client_secret={HIDDEN}",
        f"zip://run::https://user:{HIDDEN}@host/e.zip",
        f"simplecache::s3://AKIA:{HIDDEN}@bucket/run",
        f"hdfs://user:{HIDDEN}@name/x",
        f"abfs://user:{HIDDEN}@acc/x",
        f"ray://user:{HIDDEN}@host:10001",
        f"401 for https://host/v1: Authorization: Bearer {HIDDEN}abcdefghij",
    ],
)
def test_keys_of_addresses_are_masked(address):
    assert HIDDEN not in masked(address)
    assert "***" in masked(address)
    assert has_key(address)
    assert masked(masked(address)) == masked(address)
    assert HIDDEN not in str(masked_data({address: [address, (1, address)]}))
    for error in (SampleError(f"no answer from '{address}'"), RecipeError(address, [f"{address} is wrong"])):
        assert HIDDEN not in str(error)


@pytest.mark.parametrize(
    "text",
    [
        "http://host:8000/v1",
        "http://[::1]:8000/a@b",
        "s3://bucket/run",
        "abfs://container@account.dfs.core.windows.net/run",
        "https://huggingface.co/org/name@main?design=3&monkeys&author=x&keyframes=3&tokens=4",
        "see http://host:80 and someone@example.org",
        "a basic question about tokens: key=3",
        "",
    ],
)
def test_what_is_no_key_stays(text):
    assert masked(text) == text
    assert not has_key(text)


def test_controls_are_shown_and_words_stay():
    assert printable("\x1b]0;owned\x07 \x9b31m \u202e \udc80 \r") == r"\x1b]0;owned\x07 \x9b31m \u202e \udc80 \r"
    for kept in (
        "two\nlines\tof",
        "\u0915\u094d\u200d\u0937",
        "12\xa0mm \u2013 \u00b1 \u4e2d",
        "\U0001f469\u200d\U0001f4bb",
    ):
        assert printable(kept) == kept
    assert printable("\x1b[31mred\x1b[0m\x1b[2J", colours=True) == "\x1b[31mred\x1b[0m\\x1b[2J"
    assert one_line("a\n  b\x00") == r"a b\x00"
    assert "\x1b" not in str(TaskPromptError("a\x1b[2J"))
    assert "\x1b" not in str(RecipeError("r\x1b", ["p\x1b"]))


def test_markup_is_escaped():
    hostile = "<img src=x onerror=alert(1)> | [a](javascript:x) `$\\input{x}$` ~^%#_&"
    assert markdown(hostile) == (
        r"&lt;img src=x onerror=alert(1)&gt; \| \[a\](javascript:x) \`\$\\input{x}\$\` \~^%#\_&amp;"
    )
    assert latex("\\input{/etc/passwd} $x$ 5% a_b #1 ^~") == (
        r"\textbackslash{}input\{/etc/passwd\} \$x\$ 5\% a\_b \#1 \textasciicircum{}\textasciitilde{}"
    )


def test_logs_and_the_terminal_show_escapes(tmp_path, capsys):
    from taskprompt.progress import Console
    from taskprompt.runs.lock import logged

    hostile = f"clip \x1b]0;owned\x07 s3://a:{HIDDEN}@b [bold]"
    with logged(tmp_path, 0) as log:
        log.warning("skipped %s", hostile)
    Console(force_terminal=True, width=100, markup=False, highlight=False).print(hostile)
    say(hostile)
    for text in ((tmp_path / "log.txt").read_text(), capsys.readouterr().out):
        assert "\x1b]" not in text
        assert HIDDEN not in text
        assert r"clip \x1b]0;owned\x07 s3://***@b [bold]" in text
