"""yaml of any content is plain values, or one line that says where it is wrong; soon, and in little memory."""

import os
import time

import pytest
import yaml

from taskprompt.core.errors import RecipeError
from taskprompt.recipe.files import read
from taskprompt.recipe.plain_yaml import DEEPEST, MOST_BYTES, MOST_NODES, dump, parse

LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(20)
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2001-01-99", "2001-01-99"),
        ("2001-01-01 10:00:00", "2001-01-01 10:00:00"),
        ("1:30", "1:30"),
        ("010", "010"),
        ("1e-3", 0.001),
        ("-2E4", -2e4),
        (".5", 0.5),
        ("5.", 5.0),
        ("1_000", 1000),
        ("0x1F", 31),
        ("0b101", 5),
        ("-0", 0),
        (".inf", float("inf")),
        ("=", "="),
        (".", "."),
        ("1e", "1e"),
        ("null", None),
        ("off", False),
        ("", None),
        ("&a [1, &b 2]", [1, 2]),
        ("{a: &a {x: 1, y: 2}, b: {<<: *a, y: 3}}", {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}}),
        ("\ufeffa: 1", {"a": 1}),
        ("{" * 1 + "a: " * 1 + "[" * (DEEPEST - 3) + "]" * (DEEPEST - 3) + "}", None),
    ],
)
def test_plain_values(text, value):
    found = parse(text)
    assert value is None or (found == value and type(found) is type(value))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seed: !!int 'x'", "line 1, column 7: the tag tag:yaml.org,2002:int is not allowed"),
        ("seed: !!timestamp 2001-01-01", "timestamp is not allowed"),
        ("a: !!binary aGk=", "binary is not allowed"),
        ("a: !!set {x}", "set is not allowed"),
        ("a: !own 1", "the tag !own is not allowed"),
        ("!!python/object/apply:os.system [ls]", "is not allowed"),
        ("tasks: &t {a: *t}", "*t is inside of its own anchor"),
        ("a: &a {<<: *a}", "*a is inside of its own anchor"),
        ("a: *nope", "found undefined alias"),
        (LAUGHS, f"it holds more than {MOST_NODES} values"),
        (f"a: [{'1,' * (MOST_NODES + 9)}]", f"it holds more than {MOST_NODES} values"),
        ("[" * 5000, f"nested more than {DEEPEST} deep"),
        ("- " * 5000, f"nested more than {DEEPEST} deep"),
        ("{a: " * 5000, f"nested more than {DEEPEST} deep"),
        (
            "".join(f"a{i}: &a{i} [{f'*a{i - 1}' if i else 1}]\n" for i in range(500)),
            f"nested more than {DEEPEST} deep",
        ),
        ("a: 1\nb: 2\na: 3", "line 3, column 1: the key 'a' occurs twice"),
        ("{a: {b: 1, b: 2}}", "the key 'b' occurs twice"),
        ("? [a]\n: b", "a key is a list, a mapping or an alias"),
        ("<<: 5", "expected a mapping"),
        (f"seed: {'9' * 5000}", "found a number of 5000 digits"),
        ("a\0b: 1", "control characters are not allowed"),
        ("a: [", "did not find expected"),
        ("a: 1\n--- \nb: 2", "another document"),
        ("a: '\ud800'", "a lone surrogate"),
        ('a: "\\ud800"', "escape"),
    ],
    ids=lambda v: v[:24].encode("unicode_escape").decode(),
)
def test_all_else_is_refused_in_a_line(text, words):
    begun = time.process_time()
    with pytest.raises(ValueError, match=r"\w") as caught:
        parse(text)
    assert type(caught.value) is ValueError
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert time.process_time() - begun < 5


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: p.write_bytes(b"a: \xff\xfe"), "is not a text file"),
        (lambda p: p.write_bytes(b"#" * (MOST_BYTES + 1)), "is larger than 1 MiB"),
        (lambda p: (p.touch(), os.truncate(p, 1 << 40)), "is larger than 1 MiB"),
        (lambda p: os.mkfifo(p), "is not a file"),
        (lambda p: p.symlink_to("/dev/zero"), "is not a file"),
        (lambda p: p.mkdir(), "is a folder"),
        (lambda p: (p.mkdir(), (p / "recipe.yaml").touch()), "is the folder of a run, expected a yaml file. Give"),
        (lambda p: p.symlink_to(p), "cannot be read: Too many levels"),
        (lambda p: p.write_text('extends: "a\\0b"'), "is not a path: it has a null character. Give the path"),
        (lambda p: p.write_text("extends: [a]"), "extends: expected the path of a file"),
        (lambda p: p.write_text("5"), "holds 5, expected"),
        (lambda p: p.write_text("a: ${b:-${c:-" * 20_000), "is not yaml"),
        (lambda p: p.write_text("a: '" + "${b:-" * 100_000 + "'"), ""),
    ],
)
def test_files_of_any_kind(tmp_path, make, words):
    make(path := tmp_path / "r.yaml")
    begun = time.process_time()
    if words:
        with pytest.raises(RecipeError) as caught:
            read(path)
        assert words in str(caught.value)
    else:
        read(path)
    assert time.process_time() - begun < 5


def test_a_long_chain_of_files(tmp_path):
    for i in range(40):
        (tmp_path / f"{i}.yaml").write_text(f"extends: {i + 1}.yaml\n")
    with pytest.raises(RecipeError, match="more than 32 files extend each other"):
        read(tmp_path / "0.yaml")


@pytest.mark.parametrize(
    "text", ["a=" + "[" * 5000, "a=!!int x", "a=2001-01-99x: [", ".".join("a" * 5000) + "=1", "stages.²=1"]
)
def test_overrides_of_any_kind(tmp_path, text):
    (tmp_path / "r.yaml").write_text("stages: [{steps: 1}]\n")
    with pytest.raises(RecipeError, match="override"):
        read(tmp_path / "r.yaml", [text])


def test_what_is_written_is_read_as_the_same_here_and_by_others():
    texts = [
        "1e-3",
        "on",
        "2001-01-01",
        "010",
        "1:30",
        "~",
        ".nan",
        "0x1f",
        "1_0",
        "=",
        "<<",
        "-.5",
        "é😀",
        "a\nb ",
        "\x85",
    ]
    data = {"texts": texts, "numbers": [1e-5, 1e22, 3, -0.0], "same": [texts, texts], "none": None, "yes": True}
    assert parse(dump(data)) == data
    assert yaml.safe_load(dump(data)) == data
    assert "&" not in dump(data)
