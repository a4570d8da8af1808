"""A sweep's folder that somebody else has made: only what is asked for now is started."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mim.plain import parse_json
from mim.sweep.job import read_job, read_jobs, write_record
from tests.slow import slow

EVIL = [
    "hydra.callbacks.table.metric={_target_: os.system, command: 'touch executed'}",
    "hydra.searchpath=[file:///elsewhere]",
    "hydra.run.dir=/elsewhere",
    "hydra/launcher=basic",
    "hydra.sweep.dir=/elsewhere",
    "sweep.name=${oc.env:HOME}",
]


@pytest.mark.parametrize("evil", [EVIL[0], *map(slow, EVIL[1:])])
def test_overrides_in_a_folder_are_no_part_of_the_next_command(command, ran, runs, evil):
    command("train", "-m", "seed=0,1", "sweep.name=mine")
    folder = runs / "sweeps" / "mine" / "0"
    write_record(folder, overrides=[evil, "seed=0"], exit_code=None)
    (folder / "results.json").unlink()
    ran.clear()
    command("train", "-m", "seed=0,1", "sweep.name=mine")
    assert ran
    assert not any(evil in word for job in ran for word in job)


STUDY = (
    "-m",
    "sweep=optuna",
    "sweep.trials=3",
    "sweep.parallel=1",
    "sweep.name=study",
    "base_lr=interval(1e-4,1e-2)",
    "epochs=1,2",
)


def unfinished(log: str, changes: dict[str, str]) -> str:
    """The study without its last words, so that its last trial is started again; with something
    else said of it.
    """
    lines = log.splitlines()
    while json.loads(lines[-1])["op_code"] == 6:  # how the trial ended
        lines.pop()
    text = "\n".join(lines) + "\n"
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return text


@pytest.mark.parametrize(
    "changes",
    [
        {
            "base_lr": "+callback.x={_target_: torch.utils.collect_env.run, command: touch "
            "executed}, base_lr"
        },
        slow({"base_lr": "hydra.searchpath"}),
        slow({'\\"1\\"': '\\"1 hydra.searchpath=[x]\\"'}),
        slow({"epochs": "seed"}),
        slow({"0.01": "1000000.0", "FloatDistribution": "FloatDistribution"}),
    ],
)
def test_a_trial_of_a_study_has_the_settings_that_are_asked_for(command, ran, runs, changes):
    pytest.importorskip("optuna")
    assert command("train", *STUDY).code == 0
    log = next(runs.glob("sweeps/study/study.log"))
    log.write_text(unfinished(log.read_text(), changes))
    ran.clear()
    ended = command("train", *STUDY)
    started = [word for job in ran for word in job]
    assert not any("_target_" in word or "hydra.searchpath" in word for word in started)
    assert all(1e-4 <= float(word[8:]) <= 1e-2 for word in started if word.startswith("base_lr="))
    if ended.code:
        assert "study.log" in ended.err
        assert ended.err.count("\n") == 1


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "7",
        '{"overrides": 7}',
        '{"overrides": [7]}',
        '{"overrides": "seed=0"}',
        '{"exit_code": "0"}',
        '{"exit_code": [0]}',
        "{" * 10**5,
        "[" * 10**6,
        '{"exit_code": 1' + "0" * 5000 + "}",
        "not json",
        "\x00\x00",
    ],
)
def test_a_malformed_job_is_named(tmp_path, content):
    for number in range(3):
        (tmp_path / str(number)).mkdir()
    (tmp_path / "1" / "job.json").write_text(content)
    with pytest.raises(
        ValueError, match=r"1/job\.json .*remove the file to run the job again"
    ) as refusal:
        read_jobs(tmp_path, ["knn/top1"])
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 600


@pytest.mark.parametrize(
    "content", ['{"status": "great"}', '{"status": []}', '{"metrics": 7}', '{"commit": ["x"]}']
)
def test_malformed_results_are_named(tmp_path, content):
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(ValueError, match=r"results\.json is not as a job writes it"):
        read_job(tmp_path, ["knn/top1"])


def test_a_pipe_in_place_of_a_job_is_refused(tmp_path):
    os.mkfifo(tmp_path / "job.json")
    with pytest.raises(ValueError, match="is a pipe, a socket or a device"):
        read_job(tmp_path, [])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
KEYS = st.sampled_from(
    [
        "overrides",
        "exit_code",
        "seconds",
        "metrics",
        "status",
        "commit",
        "images_per_second",
        "wall_seconds",
    ]
)


@given(record=st.dictionaries(KEYS, json_values), results=st.dictionaries(KEYS, json_values))
def test_any_job_is_read_or_refused_in_a_line(tmp_path_factory, record, results):
    folder = tmp_path_factory.mktemp("job")
    (folder / "job.json").write_text(json.dumps(record))
    (folder / "results.json").write_text(json.dumps(results))
    try:
        job = read_job(folder, ["knn/top1"])
    except ValueError as refusal:
        line = str(refusal)
    else:
        line = ""
        assert all(isinstance(override, str) for override in job.overrides)
        assert isinstance(job.status, str)
    assert "\n" not in line


@given(st.binary(max_size=200))
def test_any_bytes_are_json_or_refused_in_a_line(content):
    try:
        parse_json(content, "file")
    except ValueError as refusal:
        line = str(refusal)
    else:
        line = ""
    assert "\n" not in line
