"""What figures and tables read of runs that somebody else has made: bounded, and the file that is
wrong is named.
"""

import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mim.figure.runs import read_run
from mim.paper.records import find_records
from mim.plain import LARGEST_YAML, read_yaml
from mim.sweep.job import read_job

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 10)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LAUGHS, "an alias"),
        ("a: &a 1\nb: *a\n", "an alias"),
        ("[" * 10**5, "nested deeper"),
        ("a: " * 10**4, "is no yaml of a config"),
        ("a: ${oc.env:HOME}\n", "a reference"),
        ("a: !!python/object/apply:os.system ['touch executed']\n", "is no yaml of a config"),
        ("a: !!binary aGk=\n", "bytes|is no yaml"),
        ("a: .nan\n", "which is no setting"),
        ("\x00", "is no yaml of a config"),
        ("a: 1\na: 2\n", "is no yaml of a config"),
        ("x" * (LARGEST_YAML + 1), "at most"),
        ("a: [" + "1, " * 30_000 + "]", "holds more than"),
    ],
    ids=range(12),
)
def test_a_config_of_a_run_is_plain(tmp_path, text, said):
    (tmp_path / "config.yaml").write_text(text)
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(ValueError, match=said) as refusal:
        read_run(tmp_path)
    assert "\n" not in str(refusal.value)
    assert "config.yaml" in str(refusal.value)
    assert not os.path.exists("executed")


def test_an_honest_config_is_read(tmp_path):
    (tmp_path / "config.yaml").write_text("a: 1e-4\nb: {c: [1, null, true, text]}\n")
    assert read_yaml(tmp_path / "config.yaml") == {"a": 1e-4, "b": {"c": [1, None, True, "text"]}}
    (tmp_path / "config.yaml").write_text("")
    assert read_yaml(tmp_path / "config.yaml") == {}


@pytest.mark.parametrize(
    "content", ["[]", "7", '{"metrics": 7}', '{"metrics": []}', '{"status": 7}', "[" * 10**5]
)
def test_results_that_no_run_writes_are_named(tmp_path, content):
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(ValueError, match=r"results\.json"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    "rows",
    [
        "epoch,loss\n1,low\n",
        "epoch,loss\n-1,0.5\n",
        "epoch,loss\n1.5,0.5\n",
        "epoch,loss\n" + "9" * 5000 + ",0.5\n",
        "epoch,loss\n1," + "1" * 10**6 + "\n",
        "",
        "loss\n1\n",
        '"',
    ],
)
def test_metrics_that_no_run_writes_are_named(tmp_path, rows):
    (tmp_path / "metrics.csv").write_text(rows)
    with pytest.raises(ValueError) as refusal:  # noqa: PT011 (of a file, or of a number that is not there)
        read_run(tmp_path).column("loss")
    assert "\n" not in str(refusal.value)
    assert str(tmp_path) in str(refusal.value)


@pytest.mark.parametrize("name", ["results.json", "config.yaml", "metrics.csv"])
def test_pipes_and_holes_are_refused(tmp_path, name):
    (tmp_path / "results.json").write_text("{}")
    file = tmp_path / name
    file.unlink(missing_ok=True)
    os.mkfifo(file)
    with pytest.raises(ValueError, match="is a pipe, a socket or a device"):
        read_run(tmp_path).column("loss")
    file.unlink()
    with file.open("wb") as stream:
        stream.truncate(2**40)
    with pytest.raises(ValueError, match="has 1,099,511,627,776 bytes; at most"):
        read_run(tmp_path).column("loss")


WRONG = {
    "overrides": [7, "seed=0", [7], {"a": 1}],
    "program": [7, "rm", "train.py; touch executed"],
    "status": [[], 7],
    "seed": ["0", [0], 1.5],
    "commit": [7],
    "hardware": [[]],
    "metrics": [[], {"val/top1": "high"}, {"val/top1": [1]}],
}


@pytest.mark.parametrize(
    ("key", "value"), [(key, value) for key, values in WRONG.items() for value in values], ids=str
)
def test_a_record_that_no_run_writes_is_named(tmp_path, key, value):
    honest = {"program": "train.py", "overrides": ["seed=0"], "metrics": {"val/top1": 0.5}}
    (tmp_path / "results.json").write_text(json.dumps(honest))
    assert find_records(tmp_path)[0].accuracy() == (50.0, None)
    (tmp_path / "results.json").write_text(json.dumps(honest | {key: value}))
    with pytest.raises(ValueError, match=r"results\.json is not as a run writes it"):
        find_records(tmp_path)


def test_what_a_job_said_is_looked_at_from_its_end(tmp_path):
    (tmp_path / "output.log").write_bytes(
        b"error: an old one\n" + b"\xff" * 3 * 10**6 + b"\nerror: the last\n"
    )
    assert read_job(tmp_path, []).error == "the last"
    (tmp_path / "output.log").unlink()
    os.mkfifo(tmp_path / "output.log")
    with pytest.raises(ValueError, match="is a pipe"):
        read_job(tmp_path, [])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(
    config=st.binary(max_size=80) | st.text(max_size=60),
    rows=st.binary(max_size=60) | st.text(max_size=60),
)
def test_any_run_is_read_or_refused_in_a_line(tmp_path, config, rows):
    for name, content in (("config.yaml", config), ("metrics.csv", rows)):
        (tmp_path / name).write_bytes(
            content if isinstance(content, bytes) else content.encode(errors="replace")
        )
    try:
        read_run(tmp_path).column("loss")
    except ValueError as refusal:
        line = str(refusal)
    assert "\n" not in line
