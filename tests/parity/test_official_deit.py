"""DeiT against facebookresearch/deit @ 7e160fe and timm 0.3.2, as its main.py calls it: on max |a -
b| / max |b|.
"""

from functools import partial

import numpy as np
import pytest
import torch
from timm.data.mixup import Mixup

from mim.data.sampler import ShuffledRows
from mim.encoder.vit import ViT
from mim.model.classifier import Classifier
from mim.optim.layer_decay import layer_decay_groups
from mim.optim.simmim import RunningCosineByEpoch
from mim.part import Progress
from mim.pool.simple import Cls
from mim.train.finetune import Finetune
from mim.weights.official_simmim import from_bare


def built(m):
    """The trainer of the classifier that the settings of the file describe."""
    sizes = m["img_size"], m["patch_size"], m["embed_dim"], m["depth"], m["num_heads"]
    encoder = ViT(*sizes, m["mlp_ratio"], positions="learned", start="dino")
    return Finetune(
        partial(Classifier, encoder, {"cls": Cls()}, head_std=0.02),
        m["num_classes"],
        torch.optim.AdamW,
        RunningCosineByEpoch(1, 1e-5, 1e-3),
        1.0,
        m["train"]["weight_decay"],
        mix=partial(Mixup, **{k: v for k, v in m["mix"].items() if k not in SAID}),
        label_smoothing=m["mix"]["label_smoothing"],
    )


SAID = ("num_classes", "label_smoothing")


@pytest.mark.parametrize("epoch", [0, 1])
def test_processes_see_three_views_of_an_image_in_the_official_order(golden, epoch):
    """Of the same permutation of the images. The release counts images in steps of 256."""
    reference = golden("deit")
    s, rows = reference.meta["sampler"], reference[f"sampler.rows_{epoch}"].long()
    for rank in range(s["world"]):
        sampler = ShuffledRows(s["size"], s["batch"], 0, rank, s["world"], repeats=s["repeats"])
        sampler.order = lambda epoch: reference[f"sampler.permutation_{epoch}"].long()
        sampler.set_epoch(epoch)
        found = torch.stack([batch.index for batch in sampler])
        assert torch.equal(found[: len(rows[rank])], rows[rank])


def test_every_epoch_has_the_official_rate(golden):
    reference = golden("deit")
    r = reference.meta["rates"]
    schedule = RunningCosineByEpoch(r["warmup_epochs"], r["min_lr"], r["warmup_lr"])
    for epoch, rate in enumerate(reference["rates"].tolist()):
        for step in (0, 6):
            share = schedule(Progress(7 * epoch + step, 7 * r["epochs"], 7), r["lr"])
            assert share * r["lr"] == pytest.approx(rate, rel=1e-9)


def test_images_and_labels_are_mixed_as_officially(golden, distance):
    """But for boxes of an odd side, which timm has since made a pixel larger."""
    reference = golden("deit")
    mix = built(reference.meta).mix
    np.random.seed(reference.meta["seed"])  # noqa: NPY002  timm draws from it
    names = ("images", "labels", "mixed", "targets")
    for step, (image, label, mixed, target) in enumerate(
        zip(*(reference[name] for name in names), strict=True)
    ):
        ours, share = mix(image.clone(), label)
        if step in reference.meta["odd_boxes"]:
            lines = (ours != mixed).any(dim=(0, 1))  # (H, W), at most one of each
            assert lines.sum() < sum(lines.shape)
            assert distance(share, target) < 2 / min(lines.shape)
        else:
            assert distance(ours, mixed) < 1e-6
            assert distance(share, target) < 1e-6


def test_several_steps_end_with_the_official_weights(golden, batch_of, distance):
    reference = golden("deit")
    m, t = reference.meta, reference.meta["train"]
    task = built(m)
    model = task.model
    model.load_state_dict(from_bare(reference.under("sd.")))
    groups = layer_decay_groups(model, t["lr"], t["weight_decay"], 1.0)
    decays = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    names = {
        kind: set(from_bare(dict.fromkeys(t[kind], torch.zeros(1))))
        for kind in ("decay", "no_decay")
    }
    for name, parameter in model.named_parameters():
        assert decays[id(parameter)] == (t["weight_decay"] if name in names["decay"] else 0.0), name
    assert {name for name, _ in model.named_parameters()} == names["decay"] | names["no_decay"]
    optimizer = torch.optim.AdamW(groups, betas=t["betas"], eps=t["eps"])
    passes = t["steps_per_epoch"]
    for step, (image, target) in enumerate(
        zip(reference["mixed"], reference["targets"], strict=True)
    ):
        rate = t["lr"] * task.schedule(Progress(step, t["epochs"] * passes, passes), t["lr"])
        assert rate == pytest.approx(reference["lr"][step].item(), rel=1e-9)
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = task.objective(batch_of(image), target)
        assert loss.item() == pytest.approx(reference["loss"][step].item(), rel=1e-5)
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            gradient = {name: p.grad for name, p in model.named_parameters()}
            for name, value in from_bare(reference.under("grad.")).items():
                assert distance(gradient[name], value) < 1e-4, name
        optimizer.step()
    for name, value in from_bare(reference.under("final.")).items():
        if not name.endswith("qkv.bias"):  # of keys: rounding alone, which Adam makes large
            assert distance(model.state_dict()[name], value) < 1e-4, name
