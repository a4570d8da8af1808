"""The signatures are the schema."""

from datetime import timedelta
from typing import Literal

import pytest
from omegaconf import OmegaConf

from mim.launch.check import check_config, check_wiring, nearest
from mim.ranges import Count, Rate


class Part:
    def __init__(
        self,
        size: Count,
        ratio: Rate = 0.5,
        kind: Literal["a", "b"] = "a",
        inner: object = None,
        flag: bool = True,
        sizes: list[int] | None = None,
        pair: tuple[float, float] = (0.0, 1.0),
        until: timedelta | None = None,
    ):
        self.size = size


def config(**values):
    return OmegaConf.create({"group": {"_target_": f"{__name__}.Part", **values}})


def test_what_the_signature_allows_passes():
    check_config(
        config(
            size=3,
            ratio=0,
            kind="b",
            flag=False,
            sizes=[1],
            pair=[0, 1.5],
            inner={"_target_": f"{__name__}.Part", "size": 1},
        )
    )


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({"sise": 3}, ["group.sise is not an argument of Part", "did you mean 'size'?"]),
        ({"size": "many"}, ["group.size='many'", "valid integer"]),
        ({"size": 1.5}, ["group.size=1.5", "valid integer"]),
        ({"size": 0}, ["group.size=0", "at least 1"]),
        ({"size": 1, "ratio": 1.0}, ["group.ratio=1.0", "less than 1"]),
        ({"size": 1.0}, ["group.size=1.0 does not fit; write 1"]),
        ({"size": "3"}, ["group.size='3' does not fit; write 3"]),
        ({"size": 3, "flag": "no"}, ["group.flag='no' does not fit; write False"]),
        ({"size": 3, "flag": 1}, ["group.flag=1 does not fit; write True"]),
        ({"size": True}, ["group.size=True does not fit; write 1"]),
        ({"size": 3, "sizes": [2.0]}, ["group.sizes=[2.0] does not fit; write [2]"]),
        ({"size": 3, "pair": [0.5]}, ["group.pair=[0.5]", "it should be 2 values"]),
        ({"size": 3, "until": 5}, ["group.until=5 does not fit; it cannot be a number"]),
        ({"size": 3, "kind": "c"}, ["group.kind='c'", "'a' or 'b'"]),
        ({"size": 3, "ratio": None}, ["group.ratio=None", "valid number"]),
        ({"size": 3, "inner": {"_target_": f"{__name__}.Part", "siez": 1}}, ["group.inner.siez"]),
    ],
)
def test_what_it_does_not_allow_is_refused_with_its_place(values, parts):
    with pytest.raises(ValueError, match="group") as error:
        check_config(config(**values))
    for part in parts:
        assert part in str(error.value)


def test_a_target_that_does_not_exist_is_named():
    with pytest.raises(
        ValueError, match=r"group\._target_=mim\.loss\.nothing\.Nothing cannot be imported"
    ):
        check_config(OmegaConf.create({"group": {"_target_": "mim.loss.nothing.Nothing"}}))


def test_the_place_that_is_named_is_the_group_and_not_where_it_is_wired_in():
    cfg = OmegaConf.create(
        {
            "task": {"model": {"part": "${part}"}},
            "part": {"_target_": f"{__name__}.Part", "size": "x"},
        }
    )
    with pytest.raises(ValueError, match=r"^part\.size='x'"):
        check_config(cfg)


def test_the_nearest_word_comes_first_and_hydras_own_keys_are_not_offered():
    assert (
        nearest("ratoi", ["_target_", "ratio", "rounding"])
        == "did you mean 'ratio'? allowed: ratio, rounding"
    )
    assert nearest("zzz", ["ratio"]) == "allowed: ratio"


def test_a_part_that_nothing_takes_is_refused_and_one_that_is_wired_in_passes():
    part = {"_target_": f"{__name__}.Part", "size": 1}
    choices = {"task": "finetune", "model": "classifier", "masker": "block"}
    check_wiring(
        OmegaConf.create({"task": {"_target_": "x", "masker": "${masker}"}, "masker": part}),
        choices,
    )
    check_wiring(
        OmegaConf.create({"task": {"_target_": "x", "size": "${masker.size}"}, "masker": part}),
        choices,
    )
    check_wiring(OmegaConf.create({"task": {"_target_": "x"}, "masker": None}), choices)
    with pytest.raises(
        ValueError,
        match="masker=block would do nothing: task=finetune with model=classifier takes no",
    ):
        check_wiring(
            OmegaConf.create({"task": {"_target_": "x"}, "masker": part, "other": "${maskers}"}),
            choices,
        )
