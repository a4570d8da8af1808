"""What is written is read back, by us and by others, with nothing missing and the same numbers."""

import json

import pytest
import timm
import torch
from torch import nn
from torch.nn.functional import interpolate
from transformers import ViTMAEForPreTraining

from mim.__main__ import main
from mim.encoder.beit import Beit
from mim.encoder.swin import Swin
from mim.encoder.vit import ViT
from mim.geometry import Geometry
from mim.loss.term import Term
from mim.masker.score.ranking import Ranking
from mim.model.classifier import Classifier
from mim.model.simmim import SimMIM
from mim.pool.simple import Cls, Max, Mean
from mim.target.pixel import Pixel
from mim.weights.convert import write
from mim.weights.load import load_checkpoint_into, open_encoder
from mim.weights.read import read_weights

RUN = {
    "model": {"decoder": {"heads": 2}},
    "masker": {"partition": {"ratio": 0.75}},
    "loss": {"normalise": True},
}


def varied(model):
    """Every tensor with numbers of its own, so that none can be swapped or left out unseen."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


class Drawn(nn.Module):
    """Hide the patches that drew the largest numbers, as ViTMAE does with its `noise`."""

    needs_tokens = False

    def __init__(self, noise):
        super().__init__()
        self.noise = noise

    def forward(self, batch, grid, tokens=None):
        return Ranking(self.noise)


def in_timm(report):
    """What the line that `convert` prints gives a user."""
    names = {"timm": timm}
    exec(report.partition("load with")[2].strip(), names)  # the line itself is under test
    return (names.get("model") or names["encoder"]).eval()


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
@pytest.mark.parametrize(
    "build",
    [
        lambda: ViT(16, 4, width=16, depth=2, heads=2),
        lambda: ViT((16, 16), 4, width=16, depth=2, heads=2, mlp_ratio=2.0),
        lambda: Beit(16, 4, width=16, depth=2, heads=2),
        lambda: Beit(16, 4, width=16, depth=2, heads=2, positions="block_bias"),
        lambda: Beit(16, 4, width=16, depth=2, heads=2, positions="absolute"),
        lambda: Beit(16, 4, width=16, depth=2, heads=2, positions="absolute_and_block_bias"),
        lambda: Swin(16, 4, width=8, depths=[2, 2], heads=[2, 2], window=4),
    ],
)
def test_timm_loads_it_strictly_and_sees_the_same(
    build, suffix, build_simmim, save_run, tmp_path, images
):
    torch.manual_seed(0)
    encoder = build().eval()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    sizes = {"image_size": 16, "patch_size": 4}
    if isinstance(encoder, Swin):
        sizes = {"width": 8, "depths": [2, 2], "heads": [2, 2], "window": 4}
    elif isinstance(encoder, Beit):
        table = encoder.blocks[0].attn.relative_position_bias_table
        words = ["absolute"] * (encoder.pos_embed is not None)
        words += ["block_bias"] * (table is not None)
        sizes["positions"] = "_and_".join(words) or "shared_bias"
    elif encoder.blocks[0].mlp.fc1.out_features == 32:
        sizes["mlp_ratio"] = 2.0
    model = build_simmim()
    model.encoder = encoder
    report = write(
        read_weights(save_run(model, encoder=sizes)), tmp_path / f"encoder.{suffix}", "timm"
    )
    theirs = in_timm(report).forward_features(images)
    ours = encoder(images)
    assert torch.allclose(
        theirs.flatten(1, 2) if theirs.dim() == 4 else theirs,
        ours[:, -theirs[0].numel() // theirs.shape[-1] :],
        atol=1e-5,
    )


@pytest.mark.parametrize(
    ("encoder", "pool"),
    [
        (ViT(16, 4, width=16, depth=2, heads=2), "mean"),
        (ViT(16, 4, width=16, depth=2, heads=2), "cls"),
        (Beit(16, 4, width=16, depth=2, heads=2, positions="block_bias"), "mean"),
        (Swin(16, 4, width=8, depths=[2, 2], heads=[2, 2], window=4), "mean"),
    ],
)
def test_timm_takes_a_fine_tuned_classifier_whole(
    encoder, pool, save_run, tmp_path, images, batch_of
):
    model = varied(Classifier(encoder, {pool: {"mean": Mean, "cls": Cls}[pool]()}, 5))
    sizes = (
        {"width": 8, "depths": [2, 2], "heads": [2, 2], "window": 4}
        if isinstance(encoder, Swin)
        else {}
    )
    sizes |= {"positions": "block_bias"} if isinstance(encoder, Beit) else {}
    report = write(
        read_weights(save_run(model, encoder=sizes, pool={pool: {}})),
        tmp_path / "model.pth",
        "timm",
    )
    assert torch.allclose(in_timm(report)(images), model(batch_of(images)), atol=1e-5)


def test_of_a_classifier_whose_pool_timm_lacks_the_encoder_is_written(save_run, tmp_path, images):
    encoder = ViT(16, 4, width=16, depth=2, heads=2)
    model = varied(Classifier(encoder, {"max": Max()}, 5, norm="pooled"))
    report = write(
        read_weights(save_run(model, pool={"max": {}})), tmp_path / "encoder.pth", "timm"
    )
    assert "num_classes=0" in report
    ours, _ = open_encoder(tmp_path / "run", 16)
    assert torch.allclose(in_timm(report).forward_features(images), ours.eval()(images), atol=1e-5)


def test_the_official_names_come_back_exactly(golden, tmp_path, build_mae):
    """Both halves: what the official code wrote, read and written, is the same file again."""
    official = golden("mae_pix").under("sd.")
    torch.save({"model": official}, tmp_path / "official.pth")
    report = write(read_weights(tmp_path / "official.pth"), tmp_path / "again.pth", "mae")
    assert "# both halves" in report
    again = torch.load(tmp_path / "again.pth", weights_only=True)["model"]
    assert again.keys() == official.keys()
    assert all(torch.equal(again[name], official[name]) for name in official)


def test_transformers_loads_it_with_nothing_missing_and_the_same_loss(
    build_mae, save_run, tmp_path, images, batch_of
):
    model = build_mae()
    write(read_weights(save_run(model, **RUN)), tmp_path / "vit_mae", "hf")
    theirs, info = ViTMAEForPreTraining.from_pretrained(
        tmp_path / "vit_mae", output_loading_info=True
    )
    assert {name: set(found) for name, found in info.items()} == {name: set() for name in info}
    noise = torch.rand(2, 16, generator=torch.Generator().manual_seed(3))
    expected = theirs.eval()(images, noise=noise).loss
    model.masker.score = Drawn(noise)
    made = model(batch_of(images))
    prediction, split = made.prediction, made.split
    assert Term(Pixel(Geometry.of(4, 4)))(prediction, images, split).item() == pytest.approx(
        expected.item(), rel=1e-5
    )


@pytest.mark.parametrize(
    ("to", "out"), [("mae", "mae.pth"), ("hf", "vit_mae"), ("safetensors", "ours.safetensors")]
)
def test_a_round_trip_is_exact(build_mae, save_run, tmp_path, to, out):
    model = build_mae()
    write(read_weights(save_run(model, **RUN)), tmp_path / out, to)
    again = build_mae()
    with torch.no_grad():
        for parameter in again.parameters():
            parameter.zero_()
    assert "encoder 30 of 30 tensors, decoder 32 of 32" in load_checkpoint_into(
        tmp_path / out, again
    )
    assert all(
        torch.equal(a, b)
        for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize(("to", "out"), [("mae", "mae.pth"), ("hf", "vit_mae")])
def test_of_several_decoders_others_get_the_one_that_predicts_pixels(
    build_mae, save_run, tmp_path, to, out
):
    model, one = build_mae({"hog": 27, "pixel": 48}), build_mae()
    targets = {
        "hog": {"_target_": "mim.target.hog.HOG"},
        "pixel": {"_target_": "mim.target.pixel.Pixel", "normalise": False},
    }
    terms = {
        name: {"_target_": "mim.loss.term.Term", "target": target}
        for name, target in targets.items()
    }
    write(read_weights(save_run(model, **(RUN | {"loss": {"term": terms}}))), tmp_path / out, to)
    assert load_checkpoint_into(tmp_path / out, one).endswith(
        "encoder 30 of 30 tensors, decoder 32 of 32"
    )
    assert torch.equal(one.decoder.predict.weight, model.decoders.pixel.predict.weight)
    assert torch.equal(one.decoder.embed.weight, model.decoders.pixel.embed.weight)
    if to == "hf":
        assert json.loads((tmp_path / out / "config.json").read_text())["norm_pix_loss"] is False


def test_our_own_names_hold_every_decoder(build_mae, save_run, tmp_path):
    model, again = (build_mae({"hog": 27, "pixel": 48}) for _ in range(2))
    write(read_weights(save_run(model, **RUN)), tmp_path / "ours.safetensors", "safetensors")
    with torch.no_grad():
        for parameter in again.parameters():
            parameter.zero_()
    assert "decoder 32 of 32, decoders.pixel 32 of 32" in load_checkpoint_into(
        tmp_path / "ours.safetensors", again
    )
    assert all(
        torch.equal(a, b)
        for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True)
    )


def test_safetensors_remember_the_run(build_simmim, save_run, tmp_path, images):
    model: SimMIM = build_simmim()
    write(read_weights(save_run(model)), tmp_path / "ours.safetensors", "safetensors")
    encoder, _ = open_encoder(tmp_path / "ours.safetensors")
    assert torch.equal(encoder.eval()(images), model.encoder(images))
    larger, line = open_encoder(tmp_path / "ours.safetensors", image_size=24)
    assert "positions resized from 4 x 4 to 6 x 6" in line
    assert larger(interpolate(images, 24)).shape == (2, 37, 16)


def test_what_a_format_cannot_hold_is_refused(build_mae, build_simmim, save_run, tmp_path):
    beit, vit = (
        read_weights(save_run(build_simmim())),
        read_weights(save_run(build_simmim(ViT), "vit")),
    )
    with pytest.raises(ValueError, match=r"is no plain ViT \(.*\), and the official MAE is"):
        write(beit, tmp_path / "x.pth", "mae")
    with pytest.raises(ValueError, match=r"is no plain ViT \(.*\), and Hugging Face's ViT"):
        write(beit, tmp_path / "x", "hf")
    with pytest.raises(ValueError, match="holds no decoder of an MAE"):
        write(vit, tmp_path / "x", "hf")
    assert "the encoder only" in write(vit, tmp_path / "vit.pth", "mae")
    with pytest.raises(ValueError, match="exists already; remove it"):
        write(vit, tmp_path / "vit.pth", "mae")
    assert not (tmp_path / "x").exists()


def test_what_a_plain_vit_has_not_is_named(tmp_path):
    deit = timm.create_model("deit3_small_patch16_224", img_size=32, depth=1, num_classes=0)
    torch.save(deit.state_dict(), tmp_path / "x.pth")
    said = r"is no plain ViT \(it has blocks\.\*\.ls1\.gamma, blocks\.\*\.ls2\.gamma\), and the"
    with pytest.raises(ValueError, match=said):
        write(read_weights(tmp_path / "x.pth"), tmp_path / "y.pth", "mae")


def test_an_encoder_of_oblong_images_comes_back_from_timm_and_is_refused_by_others(
    build_mae, save_run, tmp_path
):
    """With its cls token it has 9 positions: no 3 x 3 patches."""
    oblong = {"image_size": (8, 16), "patch_size": 4}
    model = build_mae(**oblong)
    weights = read_weights(save_run(model, encoder=oblong | {"image_size": [8, 16]}))
    image = torch.randn(2, 3, 8, 16)
    tokens = model.encoder.encode(model.encoder.embed(image))
    for to in ("timm", "safetensors"):
        said = write(weights, tmp_path / f"{to}.safetensors", to)
        encoder, _ = open_encoder(tmp_path / f"{to}.safetensors")
        assert encoder.geometry.grid == (2, 4)
        assert torch.equal(encoder.encode(encoder.embed(image)), tokens)
        if to == "timm":
            assert torch.allclose(in_timm(said).forward_features(image), tokens, atol=1e-5)
    for to in ("mae", "hf"):
        with pytest.raises(ValueError, match=r"has encoder\.image_size=\[8,16\], and of .* square"):
            write(weights, tmp_path / to, to)


@pytest.mark.parametrize("to", ["timm", "safetensors"])
def test_heads_that_a_width_does_not_tell_come_back(build_mae, save_run, tmp_path, to):
    model = build_mae()
    write(read_weights(save_run(model)), tmp_path / "out.safetensors", to)
    encoder, _ = open_encoder(tmp_path / "out.safetensors")
    assert encoder.heads == model.encoder.heads
    found = encoder.state_dict()
    assert all(torch.equal(found[name], each) for name, each in model.encoder.state_dict().items())


def test_heads_that_nothing_tells_are_asked_for(golden, tmp_path):
    reference = golden("mae_pix")
    m = reference.meta
    torch.save({"model": reference.under("sd.")}, tmp_path / "official.pth")
    weights = read_weights(tmp_path / "official.pth")
    with pytest.raises(
        ValueError,
        match=rf"transformer {m['embed_dim']} wide is not in its tensors; give encoder\.heads=",
    ):
        write(weights, tmp_path / "x", "hf")
    with pytest.raises(
        ValueError,
        match=f"transformer {m['decoder_embed_dim']} wide is not in its tensors; give "
        "--decoder-heads",
    ):
        write(weights, tmp_path / "x", "hf", heads=m["num_heads"])
    write(weights, tmp_path / "x", "hf", heads=m["num_heads"], decoder_heads=m["decoder_num_heads"])


def test_the_command_says_what_it_read_wrote_and_how_to_load_it(
    build_mae, save_run, tmp_path, capsys
):
    command = [
        "convert",
        str(save_run(build_mae(), **RUN)),
        str(tmp_path / "encoder.safetensors"),
        "--to",
        "timm",
    ]
    assert main(command) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        "read",
        "wrote",
        "load",
    ]
    assert main(command) == 1
    assert (
        capsys.readouterr().err
        == f"error: {tmp_path / 'encoder.safetensors'} exists already; remove it, or write "
        "elsewhere\n"
    )


def test_the_commands_are_listed(capsys):
    assert main(["--help"]) == 0
    assert (
        "convert       Write the weights of any checkpoint in another format."
        in capsys.readouterr().out
    )
    assert main(["covert"]) == 1
    assert "python -m mim covert is no command; did you mean 'convert'?" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["vit_cls", "vit_gap"])
def test_an_official_classifier_survives_the_way_there_and_back(golden, tmp_path, name):
    tensors = golden(name).under("sd.")
    torch.save({"model": tensors}, tmp_path / "official.pth")
    write(read_weights(tmp_path / "official.pth"), tmp_path / "again.pth", "mae")
    again = torch.load(tmp_path / "again.pth", weights_only=True)["model"]
    assert again.keys() == tensors.keys()
    assert all(value.equal(tensors[key]) for key, value in again.items())
