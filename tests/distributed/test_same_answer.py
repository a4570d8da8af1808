"""The same global batch gives the same training, whatever it is split over: one process, two, two
that share the weights.

What many processes saved is read by any number of them, by `checkpoint=` and by
`python -m mim convert`.
"""

import pytest
import torch

from mim.__main__ import main
from mim.checkpoint.atomic import AtomicCheckpointIO
from mim.checkpoint.sharded import is_sharded
from mim.weights.load import load_checkpoint_into, open_encoder
from mim.weights.read import read_weights
from tests.distributed.commands import SIAMESE, SPLITS, TAUGHT
from tests.slow import slow

MASKED = ["mae", *map(slow, ("emae", "amt", "data2vec", "bootmae", "ijepa", "ibot", "beit", "cae"))]
METHODS = [*MASKED, slow("dino")]


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("method", METHODS)
def test_two_processes_give_the_losses_and_weights_of_one(answers, method, split, apart):
    one, two = answers[f"{method}_one"], answers[f"{method}_{split}"]
    assert len(one.losses) >= 10
    assert two.losses == pytest.approx(one.losses, abs=2e-6)
    assert apart(one.weights, two.weights) < 2e-5


def _assert_same(one: dict[int, float], two: dict[int, float]) -> None:
    """Losses by step: what is rounded otherwise grows with each, so the first two are held closer
    than all.
    """
    assert two == pytest.approx(one, abs=2e-5)
    assert [two[0], two[1]] == pytest.approx([one[0], one[1]], abs=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize("method", SIAMESE)
def test_views_are_told_apart_and_matched_over_all_processes(answers, apart, method):
    """MoCo v3's keys, MSN's prototypes and their mean entropy, batch norms of both."""
    one, several = answers[f"{method}_one"], [answers[f"{method}_{how}"] for how in SPLITS]
    for two in several:
        assert len(one.losses) == 10
        _assert_same(one.losses, two.losses)
        assert apart(_trained(one), _trained(two)) < 2e-5


@pytest.mark.slow
@pytest.mark.parametrize("method", SIAMESE)
def test_an_accumulated_batch_is_one_batch_of_all_processes(answers, apart, method):
    one, two = (answers[f"{method}_{how}_accumulated"] for how in ("one", "ddp"))
    _assert_same(one.losses, two.losses)
    assert apart(_trained(one), _trained(two)) < 2e-5
    assert one.losses[1] != pytest.approx(answers[f"{method}_one"].losses[1], abs=1e-4)


def _trained(run):
    """All but biases in front of a batch norm: their gradient is rounding noise, of which Adam
    makes steps.
    """
    in_front = ("encoder.norm.bias", "head.0.bias", "head.3.bias")
    return {name: value for name, value in run.weights.items() if not name.endswith(in_front)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "split"),
    [
        ("mae", "fsdp_accumulated"),
        ("mae", "fsdp_replicas"),
        *((method, "ddp_accumulated") for method in TAUGHT),
    ],
)
def test_other_ways_to_split_a_step_change_nothing_either(answers, method, split, apart):
    assert apart(answers[f"{method}_one"].weights, answers[f"{method}_{split}"].weights) < 2e-5


@pytest.mark.slow
@pytest.mark.parametrize("split", SPLITS)
def test_images_are_told_apart_and_normalised_over_all_processes(answers, apart, split):
    """CMAE's contrast and batch norms; what stands before one has biases whose gradient is rounding
    noise.
    """
    one, two = answers["cmae_one"], answers[f"cmae_{split}"]
    assert two.losses == pytest.approx(one.losses, abs=2e-6)
    ours, theirs = (
        {name: value for name, value in run.weights.items() if "encoder." in name}
        for run in (one, two)
    )
    assert any(name.startswith("teacher.") for name in ours)
    assert apart(ours, theirs) < 2e-5


@pytest.mark.parametrize("split", ["ddp", slow("fsdp")])
def test_fine_tuning_too_and_it_counts_every_held_out_image_once(answers, split, apart):
    """One process has a batch more of them than the other."""
    one, two = answers["finetune_one"], answers[f"finetune_{split}"]
    assert two.losses == pytest.approx(one.losses, abs=2e-6)
    assert two.metrics["val/top1"] == one.metrics["val/top1"]
    assert one.metrics["val/top1"] * 129 == pytest.approx(
        round(one.metrics["val/top1"] * 129), abs=1e-4
    )
    assert two.metrics["val/loss"] == pytest.approx(one.metrics["val/loss"], abs=2e-6)
    assert apart(one.weights, two.weights) < 2e-5


@pytest.mark.slow
@pytest.mark.parametrize(("task", "judged"), [("segment", "val/miou"), ("detect", "val/mask_ap")])
def test_segmentation_and_detection_too(answers, task, judged, apart):
    """Norms look at all images of a step, regions are counted over them, and each held-out scene is
    judged once.
    """
    one, two = answers[f"{task}_one"], answers[f"{task}_ddp"]
    assert len(one.losses) == 2
    assert two.losses == pytest.approx(one.losses, abs=1e-5)
    assert two.metrics[judged] == pytest.approx(one.metrics[judged], abs=1e-6)
    ours, theirs = (_steady(run.weights) for run in (one, two))
    assert apart(ours, theirs) < 5e-5


def _steady(weights):
    """All of a detector; of a segmenter the statistics of its norms: what stands before a norm has
    gradients near nothing, of which Adam makes whole steps.
    """
    counted = {
        name: value.float()
        for name, value in weights.items()
        if "running" in name or "tracked" in name
    }
    return counted or weights


@pytest.mark.parametrize("split", SPLITS)
def test_every_held_out_image_is_judged_once(answers, split):
    one, two = (answers[f"mae_{how}"].metrics for how in ("one", split))
    assert two["knn/top1_untrained"] == one["knn/top1_untrained"]
    assert one["knn/top1_untrained"] * 129 == pytest.approx(
        round(one["knn/top1_untrained"] * 129), abs=1e-4
    )
    assert two["linear/top1_untrained"] == pytest.approx(one["linear/top1_untrained"], abs=1e-6)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("method", MASKED)
def test_an_image_hides_the_same_patches_whatever_process_it_is_on(answers, method, split):
    one, ranks = (
        answers[f"{method}_one"].masks(0),
        [answers[f"{method}_{split}"].masks(rank) for rank in (0, 1)],
    )
    for step, (index, masked) in enumerate(one):
        parts = [rank[step] for rank in ranks]
        assert torch.equal(torch.cat([part[0] for part in parts]), index)
        assert torch.equal(torch.cat([part[1] for part in parts]), masked)
        # one stream for both would hide the same of other images
        assert not torch.equal(parts[0][1], parts[1][1])
    assert not torch.equal(one[0][1], one[1][1])


@pytest.mark.parametrize(
    ("resumed", "undisturbed"),
    [
        ("mae_one_from_fsdp", "mae_one"),  # two shares on one process that knows of none
        slow("mae_ddp_from_fsdp", "mae_one"),
        slow("mae_fsdp_from_ddp", "mae_one"),  # a plain file, shared out
        # two shares as one, with the attention that the first epoch ended with
        slow("amt_fsdp_alone_from_fsdp", "amt_one"),
    ],
)
def test_a_run_goes_on_under_another_split_as_if_nothing_had_happened(
    answers, resumed, undisturbed, apart
):
    resumed, undisturbed = answers[resumed], answers[undisturbed]
    rest = {step: loss for step, loss in undisturbed.losses.items() if step >= min(resumed.losses)}
    assert min(resumed.losses) in (4, 5)
    assert resumed.losses == pytest.approx(rest, abs=2e-6)
    assert apart(undisturbed.weights, resumed.weights) < 2e-5


def test_each_process_writes_its_share_and_nothing_is_left_of_the_writing(answers):
    folder = answers["mae_fsdp"].folder / "checkpoints" / "last.ckpt"
    assert is_sharded(folder)
    sizes = {file.name: file.stat().st_size for file in folder.iterdir()}
    assert set(sizes) == {".metadata", "rest.pt", "__0_0.distcp", "__1_0.distcp"}
    assert sizes["__0_0.distcp"] == pytest.approx(sizes["__1_0.distcp"], rel=0.1)
    assert {path.name for path in folder.parent.iterdir()} == {
        "last.ckpt",
        "epoch_0001.ckpt",
        "epoch_0002.ckpt",
    }


def test_all_of_it_is_what_one_process_would_have_written(answers):
    ours, theirs = (
        AtomicCheckpointIO().load_checkpoint(answers[name].folder / "checkpoints" / "last.ckpt")
        for name in ("mae_fsdp", "mae_one")
    )
    assert ours.keys() == theirs.keys()
    mine, other = ours["optimizer_states"][0], theirs["optimizer_states"][0]
    assert [group["params"] for group in mine["param_groups"]] == [
        group["params"] for group in other["param_groups"]
    ]
    assert mine["state"].keys() == other["state"].keys()
    for number, state in mine["state"].items():
        for name, value in state.items():
            assert torch.allclose(value, other["state"][number][name], atol=1e-5), (number, name)


def test_its_weights_are_read_like_any_others(answers):
    run = answers["mae_fsdp"]
    weights, expected = read_weights(run.folder), run.weights
    assert "last.ckpt (a run of ours)" in weights.origin
    assert weights.config["encoder"]["width"] == 64
    assert all(value.equal(expected[f"model.{name}"]) for name, value in weights.tensors.items())
    encoder, matched = open_encoder(run.folder)
    assert "encoder 54 of 54 tensors" in matched
    assert load_checkpoint_into(run.folder / "checkpoints" / "last.ckpt", encoder) == matched


def test_convert_makes_one_plain_file_of_it(answers, tmp_path, capsys):
    run, out = answers["mae_fsdp"], tmp_path / "whole.ckpt"
    assert main(["convert", str(run.folder), str(out), "--to", "ckpt"]) == 0
    assert "load with" in capsys.readouterr().out
    whole = torch.load(out, weights_only=True)
    assert {"state_dict", "optimizer_states", "loops", "config"} <= whole.keys()
    assert all(value.equal(whole["state_dict"][name]) for name, value in run.weights.items())
    assert (
        main(["convert", str(run.folder), str(tmp_path / "encoder.safetensors"), "--to", "timm"])
        == 0
    )
    assert (
        read_weights(tmp_path / "encoder.safetensors").tensors.keys()
        <= read_weights(run.folder).tensors.keys()
    )
