"""Going on in the middle of a schedule from a file of the official MAE: as if the run had got
there.
"""

from argparse import Namespace

import pytest
import torch
from torch import nn

from mim.weights.official_mae import to_official

FIXED = ("pos_embed", "decoder_pos_embed")
FIRST = (
    "cls_token",
    "pos_embed",
    "mask_token",
    "decoder_pos_embed",
)  # tensors of the model itself come before its parts
PARTS = (
    "patch_embed",
    "blocks",
    "norm",
    "decoder_embed",
    "decoder_blocks",
    "decoder_norm",
    "decoder_pred",
)
QUIET = ("callback=[checkpoint,results]", "epochs=4", "weight_decay_schedule=cosine")
MASKER = ("masker=scheduled", "masker.at_epoch=2", "masker@masker.then=sbm")


def as_official(checkpoint, epoch):
    """What main_pretrain.py would have written: its names, its order, an AdamW whose groups are
    timm 0.3.2's.
    """

    def place(name):
        part = name.partition(".")[0]
        return FIRST.index(name) if name in FIRST else len(FIRST) + PARTS.index(part)

    tensors = {
        name.removeprefix("model."): value for name, value in checkpoint["state_dict"].items()
    }
    tensors = {
        name: value for name, value in tensors.items() if name.startswith(("encoder.", "decoder."))
    }
    ours = {to_official(name): name for name in tensors}
    model = {name: nn.Parameter(tensors[ours[name]].clone()) for name in sorted(ours, key=place)}
    groups = ([], [])
    for name in model:
        if name not in FIXED:
            groups[model[name].ndim > 1 and not name.endswith(".bias")].append(name)
    optimizer = torch.optim.AdamW(
        [
            {"params": [model[name] for name in names], "weight_decay": decay}
            for names, decay in zip(groups, (0, 0.05), strict=True)
        ]
    )
    moments = moments_of(checkpoint)
    for name in model:
        if name not in FIXED:
            optimizer.state[model[name]] = moments[ours[name]]
    return {
        "model": {name: value.detach() for name, value in model.items()},
        "optimizer": optimizer.state_dict(),
        "epoch": epoch,
        "scaler": {},
        "args": Namespace(mask_ratio=0.75),
    }


def moments_of(checkpoint):
    """By our names: timm gathers what is not decayed, then the rest, each in the order of the
    model.
    """
    names = [
        n
        for n in checkpoint["state_dict"]
        if n.startswith("model.") and not n.endswith("pos_embed")
    ]
    shapes = {name: checkpoint["state_dict"][name].shape for name in names}
    plain = [name for name in names if len(shapes[name]) <= 1]
    order = plain + [name for name in names if name not in plain]
    state = checkpoint["optimizer_states"][0]["state"]
    assert [state[k]["exp_avg"].shape for k in sorted(state)] == [shapes[name] for name in order]
    return {name.removeprefix("model."): state[k] for k, name in enumerate(order)}


@pytest.fixture
def halfway(train, tmp_path):
    """A run of four epochs with another masking after two, and an official file of its first
    two.
    """
    whole = train(*QUIET, *MASKER, "callback.checkpoint.keep_every_n_epochs=2")
    checkpoint = torch.load(whole.folder / "checkpoints" / "epoch_0002.ckpt", weights_only=True)
    torch.save(as_official(checkpoint, epoch=1), tmp_path / "checkpoint-1.pth")
    return whole, tmp_path / "checkpoint-1.pth"


def test_it_trains_on_as_the_run_that_was_never_stopped(train, halfway):
    whole, file = halfway
    run = train(*QUIET, *MASKER, f"checkpoint={file}", "start_epoch=2")
    assert run.code == 0, run.err
    assert "epoch 2 (counted from 0) of 4, after 20 steps" in run.out
    assert (run.results["epochs"], run.results["steps"]) == (4, 40)
    assert run.column("train/loss") == {
        k: v for k, v in whole.column("train/loss").items() if k >= 20
    }
    ours, theirs = (each.checkpoint["state_dict"] for each in (run, whole))
    assert max((weight - theirs[name]).abs().max() for name, weight in ours.items()) < 1e-6


@pytest.mark.slow
def test_without_the_optimisers_state_moments_start_anew_and_it_is_said(train, halfway):
    whole, file = halfway
    content = torch.load(file, weights_only=False)
    del content["optimizer"]
    torch.save(content, file)
    run = train(*QUIET, *MASKER, f"checkpoint={file}", "start_epoch=2")
    assert "the optimiser's moments start at zero" in run.out
    ours, theirs = (each.column("train/loss") for each in (run, whole))
    assert ours[20] == theirs[20]
    assert ours[21] != theirs[21]


REFUSED = {
    "start_epoch=1": "has finished epoch 1 (counted from 0); use start_epoch=2",
    "start_epoch=0": "start_epoch=0 is no number of finished epochs",
    "start_epoch=2 epochs=2": "start_epoch=2 leaves nothing of epochs=2",
    "start_epoch=2 model.decoder.depth=1": "blocks.1.norm1.weight is (64,), and absent here",
}


def test_what_does_not_fit_is_refused_in_one_line(train, halfway):
    for given, said in REFUSED.items():
        run = train(*QUIET, f"checkpoint={halfway[1]}", *given.split())
        assert run.code == 1
        assert said in run.err
        assert len(run.err.strip().splitlines()) == 1
    content = torch.load(halfway[1], weights_only=False)
    content["optimizer"]["state"].pop(0)
    torch.save(content, halfway[1])
    assert "which are not its" in train(*QUIET, f"checkpoint={halfway[1]}", "start_epoch=2").err


def test_an_epoch_without_weights_is_refused(train):
    assert "give checkpoint=<file>" in train("start_epoch=2").err
