"""Paths as people have them reach a run as they were typed."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from mim.launch.quoting import quoted, values_of

NAMES = (
    "my pictures", "a,b", "[raw] cats", "x=1", "~/photos", "it's", 'say "hi"', "bücher", "猫",
    "a(1)", "{a}", "a:b", "50%",
    "a\\b", "end\\", "tab\there", "#1", "a;b", "!x", "'", "\\'", "naïve, [x]=y ~ 'z'",
)  # fmt: skip


def value(argument):
    return OverridesParser.create().parse_override(argument).value()


@pytest.mark.parametrize("name", NAMES)
def test_a_path_of_any_name_is_read_as_it_was_typed_where_it_is_there(tmp_path, name):
    (tmp_path / name).mkdir(parents=True)
    path = str(tmp_path / name)
    (argument,) = quoted([f"data.root={path}"])
    assert value(argument) == path
    assert quoted([argument]) == [argument]  # as for processes that are started with the same


@pytest.mark.parametrize(
    "name", ["my pictures (2)", "[raw] cats", "x=1", "~/photos", "it's", "bücher", "猫/a"]
)
def test_a_path_that_hydra_cannot_read_is_quoted_also_where_it_is_not_there(name):
    assert value(quoted([f"data.root=/nowhere/{name}"])[0]) == f"/nowhere/{name}"


@given(
    st.text(
        st.characters(blacklist_categories=("Cc", "Cs"), blacklist_characters="$"),
        min_size=1,
        max_size=12,
    )
)
def test_a_name_reaches_hydra_as_it_is_or_hydra_reads_it_by_itself(name):
    (argument,) = quoted([f"data.root=/nowhere/{name}"])
    if argument != f"data.root=/nowhere/{name}":
        assert value(argument) == f"/nowhere/{name}"


@pytest.mark.parametrize(
    "argument",
    ["masker=random,block", "epochs=5", "evaluate.judge.k=[10,20]", "checkpoint=[a,b]", "~masker",
     "-m", "--cfg", "+a.b=c", "x=",
     "data.root='my pictures'", "base_lr=tag(log,interval(1e-4,1e-2))", "callback=[]",
     "optimizer={lr:1}"],
)  # fmt: skip
def test_what_hydra_reads_is_left_alone(argument):
    assert quoted([argument]) == [argument]


@pytest.mark.parametrize("name", ["0", "1e-3", "true", "null", "auto"])
def test_a_number_is_a_number_where_a_folder_has_its_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()
    assert quoted([f"seed={name}"]) == [f"seed={name}"]


def test_a_tilde_is_the_home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/my self")
    assert value(quoted(["checkpoint=~/runs/a=1"])[0]) == "/home/my self/runs/a=1"


def test_a_list_of_paths_is_quoted_part_by_part():
    assert value(quoted(["checkpoint=[runs/a=1/x,runs/b]"])[0]) == ["runs/a=1/x", "runs/b"]


def test_a_sweep_over_what_is_there_stays_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a,b").mkdir()
    assert quoted(["-m", "data.root=a,b"]) == ["-m", "data.root=a,b"]
    assert value(quoted(["data.root=a,b"])[0]) == "a,b"


@pytest.mark.parametrize("name", NAMES)
def test_settings_of_a_data_set_are_read_likewise_and_nested(tmp_path, name):
    (tmp_path / name).mkdir(parents=True)
    path = str(tmp_path / name)
    given = [f"root={path}", "augment.scale=[0.5,1]", "resize=null", "held_out=0.2"]
    assert values_of(given) == {
        "root": path,
        "augment": {"scale": [0.5, 1]},
        "resize": None,
        "held_out": 0.2,
    }


@pytest.mark.parametrize("argument", ["cifar10", "~root", "+root=a", "=a", ""])
def test_what_is_no_setting_of_a_data_set_is_refused(argument):
    with pytest.raises(
        ValueError, match=r"is no setting; give key=value, e\.g\. root=/my/pictures"
    ):
        values_of([argument])


def test_a_comma_is_one_of_the_name_where_nothing_takes_several_values():
    assert values_of(["root=/nowhere/a b,c", "held_out=0.5"]) == {
        "root": "/nowhere/a b,c",
        "held_out": 0.5,
    }
