"""Labeling through Ray Data: what is there is not asked again, failures are rows, and no kill loses or doubles."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml

import taskprompt as tp
from taskprompt.bench.label import bench_label
from taskprompt.core.clip import ClipSpec
from taskprompt.core.moment import Middle
from taskprompt.labels import table as label_table
from taskprompt.labels.join import labels_of
from taskprompt.recipe.files import validate
from taskprompt.testing import check_labeler

SUPPORT = Path(__file__).parents[1] / "support"


def silent(record):
    pass


@pytest.fixture
def recipe(squares, tmp_path):
    """Its one labeler is asked about 22 clips: 12 labelled ones, which the held-out ones are among, and 10 more."""
    squares["labelers"] = {
        "light": {
            "kind": "asked:Asked",
            "table": str(tmp_path / "table"),
            "log": str(tmp_path / "log"),
            "batch": 4,
            "sources": ["labelled"],
        }
    }
    return squares


def asked(tmp_path) -> Counter:
    log = tmp_path / "log"
    return Counter(log.read_text().split()) if log.exists() else Counter()


def run(recipe, **changes) -> dict[str, int]:
    recipe["labelers"]["light"] |= changes
    return tp.label(validate(recipe, "r", tp.Recipe), watch=silent)["light"]


def test_the_labeler_of_these_tests_is_one(tmp_path):
    from asked import Asked
    from squares import Squares

    source = Squares(clips=2)
    clip = ClipSpec(frames=4, height=32, width=32)
    samples = [source.load(row, clip, Middle()) for row in source.rows()]
    check_labeler(Asked(table="t", log=str(tmp_path / "log")), samples)


def test_what_is_there_is_not_asked_again(cluster, recipe, tmp_path):
    first = run(recipe)
    assert {k: first[k] for k in ("clips", "made", "there", "failed", "tokens")} == {
        "clips": 12, "made": 12, "there": 0, "failed": 0, "tokens": 24,
    }  # fmt: skip
    assert set(asked(tmp_path).values()) == {1}
    assert run(recipe)["there"] == 12
    assert sum(asked(tmp_path).values()) == 12
    recipe["sources"]["labelled"]["clips"] = 15
    assert run(recipe)["made"] == 3
    assert run(recipe, version=2)["made"] == 15  # another question
    assert sum(asked(tmp_path).values()) == 30
    table = label_table.open_table(str(tmp_path / "table"))
    assert len(table.at["light"]) == 15
    assert table.of("squares/3", ["light"])["light"] == pytest.approx([0.241, 0.241, 0.241, 0.241], abs=0.01)


def test_a_limit_is_of_clips_that_are_asked_about(cluster, recipe, tmp_path):
    squares = validate(recipe, "r", tp.Recipe)
    counts = [tp.label(squares, limit=n, watch=silent)["light"] for n in (5, 9)]
    assert [(found["made"], found["there"], found["failed"]) for found in counts] == [(5, 0, 0), (7, 0, 0)]
    assert set(asked(tmp_path).values()) == {1}
    assert len(label_table.open_table(str(tmp_path / "table")).at["light"]) == 12
    with pytest.raises(tp.SpecError, match="limit is 0, expected 1 or more"):
        tp.label(squares, limit=0, watch=silent)


def test_failures_are_rows_and_are_asked_again(cluster, recipe, tmp_path):
    recipe["sources"]["labelled"]["broken"] = [5]
    found = run(recipe, refused=["squares/2"])
    assert (found["made"], found["failed"]) == (10, 2)
    table = label_table.read(tmp_path / "table").to_pylist()
    errors = {row["key"]: row["error"] for row in table if row["error"]}
    assert errors == {
        "squares/2": "refused: too dark",
        "squares/5": "squares/5: the file is empty. Record it again.",
    }
    assert all(row["value"] is None for row in table if row["error"])
    recipe["sources"]["labelled"]["broken"] = []
    found = run(recipe, refused=[])
    assert (found["made"], found["there"]) == (2, 10)
    assert len(label_table.open_table(str(tmp_path / "table")).at["light"]) == 12


def test_a_recipe_may_name_tables_that_are_not_there_yet(cluster, recipe, tmp_path):
    recipe["sources"]["labelled"] |= {"tables": [str(tmp_path / "table")], "only": ["action", "light"]}
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    with pytest.raises(tp.RecipeError, match=r"sources.labelled: there is no label table .*`taskprompt.label`"):
        tp.Recipe.load(path)
    assert tp.label(path, watch=silent)["light"]["made"] == 12
    assert labels_of(tp.Recipe.load(path).sources["labelled"]) == ("action", "light")


def test_mistakes_in_names(recipe):
    with pytest.raises(tp.SpecError, match=r"no labeler 'dark'. Known: light"):
        tp.label(validate(recipe, "r", tp.Recipe), ["dark"], watch=silent)
    recipe["labelers"]["light"]["sources"] = ["labeled"]
    with pytest.raises(tp.RecipeError, match=r"labelers.light.sources: 'labeled' is not a source. Did you mean"):
        validate(recipe, "r", tp.Recipe)
    del recipe["labelers"]
    with pytest.raises(tp.SpecError, match="no `labelers`"):
        tp.label(validate(recipe, "r", tp.Recipe), watch=silent)


def test_killed_at_random_moments_nothing_is_lost_or_doubled(recipe, tmp_path):
    """Twice the whole process group of `taskprompt label` is killed while it asks; the third ends."""
    recipe["sources"]["labelled"]["clips"] = 60
    recipe["labelers"]["light"] |= {"seconds": 0.5}
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    command = [sys.executable, "-m", "taskprompt.cli.main", "label", str(path)]
    env = os.environ | {"PYTHONPATH": f"{SUPPORT}{os.pathsep}{SUPPORT.parents[1]}"}
    draw = random.Random(7)
    table = tmp_path / "table"
    for _ in range(2):
        before = len(label_table.files(table))
        job = subprocess.Popen(command, env=env, start_new_session=True, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 120
        while len(label_table.files(table)) <= before and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(draw.uniform(0, 1.2))
        os.killpg(job.pid, signal.SIGKILL)
        job.wait()
    finished = {(row["key"], row["address"]) for row in label_table.read(table).to_pylist()}
    asked_before = asked(tmp_path)
    ended = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=True)
    rows = label_table.read(table).to_pylist()
    assert sorted(row["key"] for row in rows) == sorted(f"squares/{i}" for i in range(60))
    assert finished <= {(row["key"], row["address"]) for row in rows}
    made, found, failed = map(int, re.findall(r"(?:made|found|failed) (\d+)", ended.stdout))
    assert (made + found, failed) == (60, 0)
    assert found >= len(finished)  # what an actor finished while it was dying is there, too
    again = asked(tmp_path) - asked_before
    assert not {key for key, _ in finished} & set(again)


def test_what_ends_the_job_is_one_line(cluster, recipe):
    with pytest.raises(tp.SpecError) as error:
        run(recipe, broken="no model here")
    assert str(error.value) == "no model here"
    recipe["sources"]["labelled"]["wrong"] = [3]
    with pytest.raises(tp.TaskError, match=r"ZeroDivisionError: a mistake \(.*squares.py, line \d+\). Fix the"):
        run(recipe, broken="")


def test_a_labeler_beside_its_model_alone(recipe, tmp_path):
    recipe["sources"]["labelled"]["clips"] = 64
    recipe["labelers"]["light"] |= {"seconds": 0.05}
    found = bench_label(validate(recipe, "r", tp.Recipe), "light", rounds=1)
    assert min(found.pipeline, found.direct) > 0
    assert found.ratio == found.pipeline / found.direct
    assert not (tmp_path / "table").exists()  # nothing is kept
    with pytest.raises(tp.SpecError, match="no labeler 'dark'"):
        bench_label(validate(recipe, "r", tp.Recipe), "dark")
    recipe["sources"]["labelled"]["clips"] = 47
    with pytest.raises(tp.SpecError, match="found 47 clips, expected at least 48"):
        bench_label(validate(recipe, "r", tp.Recipe), "light")
