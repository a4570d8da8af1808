"""Weights of every format reach a model, and what does not fit is refused with its own line."""

import argparse
import pickle
import sys
import types

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn
from transformers import ViTMAEConfig, ViTMAEForPreTraining

from mim.encoder.beit import Beit
from mim.encoder.swin import Swin
from mim.encoder.vit import ViT
from mim.weights import read as reading
from mim.weights.load import load_checkpoint_into, open_encoder


def same(a: nn.Module, b: nn.Module) -> bool:
    mine, other = a.state_dict(), b.state_dict()
    return mine.keys() == other.keys() and all(
        torch.equal(mine[name], other[name]) for name in mine
    )


def test_a_run_is_loaded_whole(build_mae, save_run):
    run, model = save_run(build_mae()), build_mae()
    nn.init.zeros_(model.encoder.norm.weight)
    nn.init.zeros_(model.decoder.norm.weight)
    line = load_checkpoint_into(run, model)
    assert same(model, build_mae())
    assert line.endswith("last.ckpt (a run of ours): encoder 30 of 30 tensors, decoder 32 of 32")
    assert same(build_mae(), model)
    assert load_checkpoint_into(run / "checkpoints" / "last.ckpt", model) == line


def test_each_of_several_decoders_is_loaded_if_all_of_it_is_there(build_mae, save_run):
    two, one = {"pixel": 48, "hog": 27}, save_run(build_mae(), "one")
    both = save_run(build_mae(two), "both")
    model = build_mae(two)
    nn.init.zeros_(model.decoder.norm.weight)
    nn.init.zeros_(model.decoders.hog.norm.weight)
    assert load_checkpoint_into(both, model).endswith(
        "encoder 30 of 30 tensors, decoder 32 of 32, decoders.hog 32 of 32"
    )
    assert same(model, build_mae(two))
    assert load_checkpoint_into(one, model).endswith(
        "encoder 30 of 30 tensors, decoder 32 of 32, decoders.hog not in it"
    )
    line = load_checkpoint_into(both, build_mae({"pixel": 48, "hog": 12, "low": 12}))
    assert (
        "decoder 32 of 32, decoders.hog not loaded (decoders.hog.predict.weight is (27, 8) there "
        "and (12, 8)" in line
    )
    assert (
        "decoders.low not in it, left over: decoders.hog.mask_token, decoders.hog.pos_embed" in line
    )


def test_positions_of_each_of_several_decoders_are_carried_to_another_image_size(
    build_mae, save_run
):
    two = {"pixel": 48, "hog": 27}
    model = build_mae(two, image_size=32)
    assert "decoder 32 of 32, decoders.hog 32 of 32" in load_checkpoint_into(
        save_run(build_mae(two)), model
    )
    assert torch.equal(model.decoders.hog.pos_embed, model.decoder.pos_embed)
    assert model.decoders.hog.pos_embed.shape == (1, 65, 8)


def test_another_model_keeps_the_encoder(build_mae, build_simmim, save_run):
    run, model = save_run(build_mae()), build_simmim(ViT)
    head = model.decoder.weight.clone()
    assert (
        "encoder 30 of 30 tensors, mask_token not in it, decoder not in it, left over: "
        "decoder.mask_token" in load_checkpoint_into(run, model)
    )
    assert same(model.encoder, build_mae().encoder)
    assert torch.equal(model.decoder.weight, head)


def test_a_predictor_of_another_size_stays_new(build_simmim, save_run):
    run, model = save_run(build_simmim()), build_simmim()
    model.decoder = nn.Linear(16, 5)
    head = model.decoder.weight.clone()
    assert (
        "mask_token 1 of 1, decoder not loaded (decoder.weight is (48, 16) there and (5, 16) here)"
        in load_checkpoint_into(run, model)
    )
    assert torch.equal(model.decoder.weight, head)


def test_the_official_mae_is_loaded_with_its_command_line(golden, tmp_path):
    """The official training keeps an argparse.Namespace in its files: plain values, no code."""
    reference = golden("mae_pix")
    tensors = reference.under("sd.")
    torch.save({"model": tensors, "args": argparse.Namespace(lr=1e-3)}, tmp_path / "official.pth")
    encoder, line = open_encoder(tmp_path / "official.pth", heads=reference.meta["num_heads"])
    count = len(encoder.state_dict())
    assert (
        f"(official MAE): encoder {count} of {count} tensors, left over: decoder.mask_token" in line
    )
    assert torch.equal(encoder.blocks[1].attn.qkv.weight, tensors["blocks.1.attn.qkv.weight"])


@pytest.mark.parametrize(
    ("case", "of"), [("simmim_vit_ape", Beit), ("simmim_vit_srpb", Beit), ("simmim_swin", Swin)]
)
def test_the_official_simmim_is_loaded(golden, tmp_path, case, of):
    reference = golden(case)
    torch.save({"model": reference.under("sd.")}, tmp_path / "official.pth")
    heads = reference.meta["num_heads"] if of is Beit else 4
    encoder, line = open_encoder(
        tmp_path / "official.pth", image_size=reference.meta["img_size"], heads=heads
    )
    assert isinstance(encoder, of)
    assert "(official SimMIM): encoder" in line
    assert "left over: mask_token, decoder.weight, decoder.bias" in line


def test_the_official_simmim_is_loaded_with_its_config(golden, tmp_path, monkeypatch):
    """The official training keeps a CfgNode of yacs, a dictionary, in its files: it is read without
    yacs.
    """

    class CfgNode(dict):
        __module__, __qualname__ = "yacs.config", "CfgNode"

        def __init__(self, *pairs):
            super().__init__(*pairs)
            self.__dict__["__immutable__"] = True

    module = types.ModuleType("yacs.config")
    module.CfgNode = CfgNode
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "yacs", types.ModuleType("yacs"))
        patched.setitem(sys.modules, "yacs.config", module)
        config = CfgNode({"TRAIN": CfgNode({"EPOCHS": 800})})
        torch.save(
            {"model": golden("simmim_vit_srpb").under("sd."), "config": config},
            tmp_path / "official.pth",
        )
    assert "(official SimMIM): encoder" in open_encoder(tmp_path / "official.pth")[1]


def test_an_official_fine_tuned_simmim_lends_its_norm(golden, tmp_path):
    tensors = golden("simmim_vit_finetune").under("sd.")
    torch.save({"model": tensors}, tmp_path / "tuned.pth")
    encoder, line = open_encoder(tmp_path / "tuned.pth")
    assert "fc_norm for its norm, left over: head.weight, head.bias" in line
    assert torch.equal(encoder.norm.weight, tensors["fc_norm.weight"])


def test_tables_of_biases_that_are_not_there_begin_at_zero_beside_positions_that_are(
    build_simmim, save_run, images
):
    """CAE fine-tunes so; the encoder begins as the one that it was."""
    before = build_simmim(positions="sincos_rows_first")
    run = save_run(before, encoder={"positions": "sincos_rows_first"})
    model = build_simmim(positions="sincos_rows_first_and_block_bias")
    assert "2 tables of biases at zero" in load_checkpoint_into(run, model)
    assert torch.allclose(model.encoder(images), before.encoder(images), atol=1e-6)
    # nothing says where patches are
    with pytest.raises(ValueError, match="relative_position_bias_table"):
        load_checkpoint_into(run, build_simmim(positions="block_bias"))


def test_a_shared_bias_is_copied_to_every_block(build_simmim, save_run):
    run = save_run(build_simmim())
    model = build_simmim(positions="block_bias")
    assert "the shared bias copied to every block" in load_checkpoint_into(run, model)
    shared = build_simmim().encoder.rel_pos_bias.relative_position_bias_table
    for block in model.encoder.blocks:
        assert torch.equal(block.attn.relative_position_bias_table, shared)


@pytest.mark.parametrize("positions", ["shared_bias", "block_bias", "absolute"])
def test_positions_reach_another_image_size(build_simmim, save_run, images, positions):
    run = save_run(build_simmim(positions=positions), encoder={"positions": positions})
    model = build_simmim(positions=positions, image_size=24)
    assert "positions resized from 4 x 4 to 6 x 6" in load_checkpoint_into(run, model)
    smooth = model.encoder(nn.functional.interpolate(images, 24))
    assert torch.isfinite(smooth).all()
    assert load_checkpoint_into(run, build_simmim(positions=positions)).count("resized") == 0


def test_a_run_on_images_that_are_not_square_is_loaded(build_mae, save_run):
    run = save_run(build_mae(image_size=(16, 24)))
    assert load_checkpoint_into(run, build_mae(image_size=(16, 24))).endswith(
        "encoder 30 of 30 tensors, decoder 32 of 32"
    )
    with pytest.raises(
        ValueError,
        match="positions of 24 patches, which is no square, cannot be carried to another grid",
    ):
        load_checkpoint_into(run, build_mae())


def test_positions_of_both_halves_reach_another_image_size(build_mae, save_run):
    model = build_mae(image_size=24)
    assert "positions resized from 4 x 4 to 6 x 6, decoder 32 of 32" in load_checkpoint_into(
        save_run(build_mae()), model
    )
    assert model.decoder.pos_embed.shape == (1, 37, 8)


def test_timm_is_loaded(tmp_path, monkeypatch):
    """`timm:<name>` asks timm for pre-trained weights; here the download gives new ones."""
    torch.manual_seed(0)
    sizes = {
        "img_size": 16,
        "patch_size": 4,
        "embed_dim": 16,
        "depth": 2,
        "num_heads": 2,
        "num_classes": 0,
    }
    vit = timm.create_model("vit_base_patch16_224", **sizes)
    asked = []
    monkeypatch.setattr(timm, "create_model", lambda name, **how: asked.append((name, how)) or vit)
    encoder, line = open_encoder("timm:vit_tiny")
    assert asked == [("vit_tiny", {"pretrained": True, "num_classes": 0})]
    assert line == "timm:vit_tiny: encoder 30 of 30 tensors"
    image = torch.randn(2, 3, 16, 16)
    assert torch.allclose(encoder.eval()(image), vit.eval().forward_features(image), atol=1e-5)

    torch.save(vit.state_dict(), tmp_path / "vit.pth")
    save_file(vit.state_dict(), tmp_path / "vit.safetensors")
    for file in ("vit.pth", "vit.safetensors"):
        other, line = open_encoder(tmp_path / file, heads=2)
        assert "(a bare encoder): encoder 30 of 30" in line
        assert same(other, encoder)


@pytest.fixture
def vit_mae():
    torch.manual_seed(0)
    config = ViTMAEConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        decoder_hidden_size=8,
        decoder_num_hidden_layers=2,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=32,
        image_size=16,
        patch_size=4,
        layer_norm_eps=1e-6,
        norm_pix_loss=True,
    )
    return ViTMAEForPreTraining(config).eval()


def test_what_transformers_saved_is_loaded(vit_mae, tmp_path, images, build_mae, batch_of):
    vit_mae.save_pretrained(tmp_path / "saved")
    encoder, line = open_encoder(tmp_path / "saved")
    assert "(Hugging Face): encoder 30 of 30 tensors, left over: " in line
    vit_mae.vit.config.mask_ratio = 0.0
    theirs = vit_mae.vit(images, noise=torch.arange(16.0).expand(2, -1)).last_hidden_state
    assert torch.allclose(encoder.eval()(images), theirs, atol=1e-5)
    assert load_checkpoint_into(tmp_path / "saved", build_mae()).endswith(
        "encoder 30 of 30 tensors, decoder 32 of 32"
    )


def test_a_repository_of_hugging_face_is_loaded(vit_mae, tmp_path, monkeypatch):
    """`hf:<repository>` downloads two files; here they lie in a folder."""
    vit_mae.save_pretrained(tmp_path)
    monkeypatch.setattr(
        "huggingface_hub.hf_hub_download", lambda repository, name: str(tmp_path / name)
    )
    _, line = open_encoder("hf:facebook/vit-mae-tiny")
    assert line.startswith("hf:facebook/vit-mae-tiny (Hugging Face): encoder 30 of 30")


def test_names_in_the_memory_of_newer_transformers_are_read(vit_mae, tmp_path, build_mae):
    torch.save(vit_mae.state_dict(), tmp_path / "memory.pth")
    assert load_checkpoint_into(tmp_path / "memory.pth", build_mae()).endswith(
        "encoder 30 of 30 tensors, decoder 32 of 32"
    )


@pytest.mark.parametrize("source", ["timm:no_such_model_at_all", "hf:nobody/nothing"])
def test_what_cannot_be_had_is_said_in_one_line(source, monkeypatch):
    def offline(*_, **__):
        raise OSError("no\nnetwork")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", offline)
    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(ValueError, match=f"{source} could not be had: no network"):
        reading.read_weights(source)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"patch_size": 2},
            "it has patches of 4 x 4 pixels and the encoder of 2 x 2; try encoder.patch_size=4",
        ),
        (
            {"width": 32},
            "it is 16 wide and the encoder 32; try another encoder, or encoder.width=16",
        ),
        (
            {"depth": 1},
            "it has 2 blocks and the encoder 1; try another encoder, or encoder.depth=2",
        ),
        (
            {"depth": 3},
            "it has 2 blocks and the encoder 3; try another encoder, or encoder.depth=2",
        ),
        ({"heads": 4}, "it has 2 attention heads and the encoder 4"),
        (
            {"mlp_ratio": 2.0},
            r"differs in blocks.0.mlp.fc1.weight is \(64, 16\) there and \(32, 16\) here",
        ),
    ],
)
def test_another_architecture_is_refused_and_nothing_is_loaded(
    build_mae, save_run, changes, message
):
    model = build_mae(**changes)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=f"does not fit ViT: .*{message}"):
        load_checkpoint_into(save_run(build_mae()), model)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("name", "settings", "has"),
    [
        (
            "vit_tiny_patch16_224",
            {"reg_tokens": 2, "init_values": 0.1},
            "register tokens beside its patches",
        ),
        (
            "vit_tiny_patch16_224",
            {"reg_tokens": 4, "no_embed_class": True},
            "register tokens beside its patches",
        ),
        (
            "vit_tiny_patch16_224",
            {"class_token": False, "global_pool": "avg", "reg_tokens": 1},
            "register tokens",
        ),
    ],
)
def test_tokens_that_nothing_tells_are_refused(tmp_path, name, settings, has):
    torch.save(
        timm.create_model(name, num_classes=0, depth=1, **settings).state_dict(), tmp_path / "x.pth"
    )
    with pytest.raises(ValueError, match=has):
        open_encoder(tmp_path / "x.pth")


def test_another_family_is_refused(build_mae, build_simmim, save_run):
    with pytest.raises(
        ValueError,
        match=r"does not fit Beit: it lacks rel_pos_bias.* and has pos_embed, .* besides; try the "
        r"encoder",
    ):
        load_checkpoint_into(save_run(build_mae()), build_simmim())


def test_half_an_encoder_is_refused(build_mae, tmp_path):
    tensors = build_mae().state_dict()
    del tensors["encoder.blocks.1.attn.qkv.bias"]
    torch.save(tensors, tmp_path / "half.pth")
    with pytest.raises(ValueError, match=r"it lacks blocks\.1\.attn\.qkv\.bias; try"):
        load_checkpoint_into(tmp_path / "half.pth", build_mae())


class Malice:
    """What pickle would run while it opens the file."""

    def __reduce__(self):
        return (print, ("this must never be printed",))


def broken(folder, kind):
    """A file that is no checkpoint, and what is said about it."""
    file = folder / f"{kind}.pth"
    whole = {"model": {"patch_embed.proj.weight": torch.zeros(64, 3, 16, 16)}}
    if kind == "empty":
        file.write_bytes(b"")
        return file, r"is empty \(0 bytes\); copy or download it again"
    if kind == "cut":
        torch.save(whole, file)
        file.write_bytes(file.read_bytes()[:-3000])
        return file, "is cut off, damaged or no checkpoint"
    if kind == "cut_safetensors":
        save_file(whole["model"], file)
        file.write_bytes(file.read_bytes()[:-3000])
        return file, "is cut off, damaged or no checkpoint"
    if kind == "text":
        file.write_text("404: Not Found, or some such page\n" * 20)
        return file, "is cut off, damaged or no checkpoint"
    if kind == "code":
        torch.save(whole | {"config": Malice()}, file)
        return file, r"wants to run print while it is opened, and is refused"
    if kind == "old_code":
        file.write_bytes(pickle.dumps(Malice()))
        return file, r"wants to run \S*print|is cut off, damaged or no checkpoint"
    if kind == "nothing":
        torch.save({"epoch": 3}, file)
        return (
            file,
            "holds no weights; they are looked for at the top and under state_dict_ema, model_ema, "
            "teacher, state_dict",
        )
    if kind == "list":
        torch.save([1, 2], file)
        return file, "holds no weights"
    torch.save({"conv1.weight": torch.zeros(8, 3, 7, 7), "fc.bias": torch.zeros(3)}, file)
    return (
        file,
        r"holds no encoder that is known here: none of its 2 tensors \(conv1.weight, fc.bias, "
        r"...\) embeds patches",
    )


@pytest.mark.parametrize(
    "kind",
    ["empty", "cut", "cut_safetensors", "text", "code", "old_code", "nothing", "list", "resnet"],
)
def test_what_is_no_checkpoint_gets_its_own_line(build_mae, tmp_path, capsys, kind):
    file, message = broken(tmp_path, kind)
    with pytest.raises(ValueError, match=message) as refusal:
        load_checkpoint_into(file, build_mae())
    assert str(file) in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert "never" not in capsys.readouterr().out


def test_a_missing_file_is_said_to_be_missing(build_mae, tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no"):
        load_checkpoint_into(tmp_path / "nothing.pth", build_mae())
    with pytest.raises(FileNotFoundError, match=r"holds no checkpoints/last\.ckpt"):
        load_checkpoint_into(tmp_path, build_mae())


@pytest.mark.parametrize(
    "target", ["os.system", "mim.encoder.vit.torch.load", "mim.data.digits.Digits"]
)
def test_a_checkpoint_decides_on_encoders_only(build_mae, save_run, target):
    """A config in a file says what to call: nothing but our encoders is."""
    run = save_run(build_mae(), encoder={"_target_": target})
    with pytest.raises(
        ValueError, match=f"wants to build {target}; only what mim.encoder.* defines"
    ):
        open_encoder(run)


def test_heads_that_nothing_tells_are_asked_for(build_mae, tmp_path):
    torch.save(build_mae().state_dict(), tmp_path / "ours.pth")
    with pytest.raises(
        ValueError,
        match=r"attention heads of a transformer 16 wide is not in its tensors; give "
        r"encoder\.heads=",
    ):
        open_encoder(tmp_path / "ours.pth")


def test_swins_of_timm_and_of_the_official_code_are_told_apart(golden, tmp_path):
    """The official code numbers the merging of patches by the stage before it, timm by the stage
    after.
    """
    reference = golden("simmim_swin")
    tuned = {
        n.removeprefix("encoder."): v
        for n, v in reference.under("sd.").items()
        if n.startswith("encoder.") and "mask_token" not in n
    }
    size, width = reference.meta["img_size"], len(tuned["norm.weight"])
    torch.save({"model": tuned | {"head.weight": torch.zeros(7, width)}}, tmp_path / "official.pth")
    official, line = open_encoder(tmp_path / "official.pth", image_size=size)
    count = len(official.state_dict())
    assert (
        f"(official SimMIM, fine-tuned Swin): encoder {count} of {count} tensors, left over: "
        "head.weight" in line
    )
    torch.save(official.state_dict(), tmp_path / "timm.pth")
    timms, line = open_encoder(tmp_path / "timm.pth", image_size=size)
    assert f"(a bare encoder): encoder {count} of {count}" in line
    assert same(timms, official)
