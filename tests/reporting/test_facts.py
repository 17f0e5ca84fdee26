"""What a page says of a run: reasons grouped, time added up, parameters counted."""

from taskprompt.recipe.build import build_model
from taskprompt.recipe.files import validate
from taskprompt.recipe.recipe import Recipe
from taskprompt.reporting import facts
from taskprompt.runs.run import Run


def test_reasons_that_differ_in_files_and_numbers_are_one():
    found = facts.grouped(
        [
            ("real", "a.mp4", "/data/a.mp4: is empty (0 bytes). Replace it."),
            ("real", "b.mp4", "/data/b.mp4: is cut off at 1.25 s of 10 s."),
            ("real", "c.mp4", "/data/c.mp4: is cut off at 7 s of 9.5 s."),
            ("drawn", "c.mp4", "/data/c.mp4: is cut off at 7 s of 9.5 s."),
        ]
    )
    assert [(s.source, len(s.keys)) for s in found] == [("real", 2), ("real", 1), ("drawn", 1)]
    assert found[0].reason == "is cut off at … s of … s."
    assert found[1].reason == "/data/a.mp4: is empty (0 bytes). Replace it."  # one clip keeps its own words


def test_a_task_that_a_reason_starts_with_is_kept():
    records = [("real", k, "task 'action': class 'jog' is not in the list of 11.") for k in "ab"]
    assert facts.grouped(records)[0].reason == "task 'action': class 'jog' is not in the list of …."


def test_time_is_all_clips_at_the_measured_speed(squares, tmp_path):
    squares["stages"] = [{"steps": 5, "sources": ["labelled"], "tasks": ["action"]}, {"steps": 10, "accumulate": 2}]
    recipe = validate(squares, "r", Recipe)
    with Run.start(tmp_path / "run", recipe) as run:
        pass
    assert facts.speed(run, recipe) is None
    run.append("metrics.jsonl", {"step": 12, "clips_per_s": 0.5})
    found = facts.speed(run, recipe)
    assert found is not None
    assert found.clips == 5 * 4 + 7 * 2 * 6  # seven steps of the second stage, of two batches of six
    assert (found.steps, found.planned, found.finished) == (12, 15, None)
    assert found.took == "3 min 28 s"  # 104 clips at 0.5 a second


def test_parameters_are_counted_with_and_without_heads(squares):
    squares["backbone"] |= {"dim": 16, "heads": 2}
    with_heads, kept = facts.parameters(build_model(validate(squares, "r", Recipe)), {"action", "depth"})
    squares["tasks"]["action"]["classes"] = ["left", "right", "up"]
    more, same = facts.parameters(build_model(validate(squares, "r", Recipe)), {"action", "depth"})
    assert same == kept < with_heads
    assert more == with_heads + 16 + 1  # one class: a weight for each of the summary's 16 channels, and a bias
    assert facts.parameters(build_model(validate(squares, "r", Recipe)), {"action"}) == (kept + 3 * (16 + 1), kept)


def test_sources_say_what_they_are_used_for(squares):
    found = facts.source_facts(validate(squares, "r", Recipe))
    assert [(s.name, s.quota, s.tasks) for s in found] == [
        ("labelled", 4, ("action",)),
        ("rendered", 2, ("depth",)),
        ("test", 0, ("action", "depth")),
    ]


def test_large_numbers_are_short():
    assert [facts.short(n) for n in (12, 43_512, 38_200_000)] == ["12", "43.5\u00a0k", "38.2\u00a0M"]
