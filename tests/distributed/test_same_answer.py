"""The same global batch gives the same training, whatever it is split over: one process, two, two that share the weights."""

import pytest
import torch

METHODS = ["mae", "emae", "amt", "data2vec"]
SPLITS = ["ddp", "fsdp"]


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("method", METHODS)
def test_two_processes_give_the_losses_and_weights_of_one(answers, method, split, apart):
    one, two = answers[f"{method}_one"], answers[f"{method}_{split}"]
    assert len(one.losses) >= 10
    assert two.losses == pytest.approx(one.losses, abs=2e-6)
    assert apart(one.weights, two.weights) < 2e-5


@pytest.mark.parametrize("split", ["ddp_accumulated", "fsdp_accumulated", "fsdp_replicas"])
def test_other_ways_to_split_a_step_change_nothing_either(answers, split, apart):
    assert apart(answers["mae_one"].weights, answers[f"mae_{split}"].weights) < 2e-5


@pytest.mark.parametrize("split", SPLITS)
def test_fine_tuning_too_and_it_counts_every_held_out_image_once(answers, split, apart):
    """One process has a batch more of them than the other."""
    one, two = answers["finetune_one"], answers[f"finetune_{split}"]
    assert two.losses == pytest.approx(one.losses, abs=2e-6)
    assert two.metrics["val/top1"] == one.metrics["val/top1"]
    assert one.metrics["val/top1"] * 129 == pytest.approx(round(one.metrics["val/top1"] * 129), abs=1e-4)
    assert two.metrics["val/loss"] == pytest.approx(one.metrics["val/loss"], abs=2e-6)
    assert apart(one.weights, two.weights) < 2e-5


@pytest.mark.parametrize("split", SPLITS)
def test_every_held_out_image_is_judged_once(answers, split):
    one, two = (answers[f"mae_{how}"].metrics for how in ("one", split))
    assert two["knn/top1_untrained"] == one["knn/top1_untrained"]
    assert one["knn/top1_untrained"] * 129 == pytest.approx(round(one["knn/top1_untrained"] * 129), abs=1e-4)
    assert two["linear/top1_untrained"] == pytest.approx(one["linear/top1_untrained"], abs=1e-6)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("method", METHODS)
def test_an_image_hides_the_same_patches_whatever_process_it_is_on(answers, method, split):
    one, ranks = answers[f"{method}_one"].masks(0), [answers[f"{method}_{split}"].masks(rank) for rank in (0, 1)]
    for step, (index, masked) in enumerate(one):
        parts = [rank[step] for rank in ranks]
        assert torch.equal(torch.cat([part[0] for part in parts]), index)
        assert torch.equal(torch.cat([part[1] for part in parts]), masked)
        assert not torch.equal(parts[0][1], parts[1][1])  # one stream for both would hide the same of other images
    assert not torch.equal(one[0][1], one[1][1])
