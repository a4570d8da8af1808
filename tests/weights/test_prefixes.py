"""Weights under the keys and prefixes of others, and networks that no encoder here is."""

import json

import pytest
import torch
from safetensors.torch import save_file

from mim.encoder.vit import ViT
from mim.weights.load import load_checkpoint_into, open_encoder
from mim.weights.read import read_weights
from mim.weights.strangers import refuse_other_blocks, refuse_other_config

SIZES = {"image_size": 32, "patch_size": 8, "width": 16, "depth": 1, "heads": 2}


def weights(seed=0):
    torch.manual_seed(seed)
    return {name: torch.randn_like(value) for name, value in ViT(**SIZES).state_dict().items()}


def under(prefix, tensors):
    return {prefix + name: value for name, value in tensors.items()}


PREFIXES = (
    "",
    "backbone.",
    "encoder.",
    "module.",
    "model.",
    "module.backbone.",
    "_orig_mod.net.",
    "teacher.backbone.",
)
PREFIXES += ("student.module.encoder.", "model.module._orig_mod.backbone.")
OTHERS = ("ema_model.", "online_network.encoder.", "image_encoder.", "vit.", "module.encoder_k.")
OTHERS += ("_fsdp_wrapped_module.net.", "_forward_module.module.", "my own name.")


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("key", [None, "state_dict", "model", "teacher", "state_dict_ema"])
def test_an_encoder_is_found_wherever_others_keep_it(tmp_path, prefix, key):
    tensors = under(prefix, weights()) | {"head.weight": torch.zeros(3, 16)}
    torch.save({key: tensors} if key else tensors, tmp_path / "x.pth")
    encoder, _ = open_encoder(tmp_path / "x.pth", heads=2)
    assert all(torch.equal(value, weights()[name]) for name, value in encoder.state_dict().items())


@pytest.mark.parametrize("prefix", OTHERS)
@pytest.mark.parametrize("key", ["state_dict", "net", "ema_state_dict", "my weights"])
def test_and_under_any_other_name(tmp_path, prefix, key):
    torch.save({key: under(prefix, weights()), "epoch": 3}, tmp_path / "x.pth")
    found = read_weights(tmp_path / "x.pth")
    assert torch.equal(found.tensors["encoder.norm.weight"], weights()["norm.weight"])


@pytest.mark.parametrize("inner", ["module", "state_dict", "shadow", "a.b"])
def test_an_average_is_taken_from_under_a_key_of_its_own(tmp_path, inner):
    held = weights(2)
    for word in reversed(inner.split(".")):
        held = {word: held, "decay": 0.99}
    torch.save({"model": weights(1), "ema": held}, tmp_path / "x.pth")
    for key, seed in ((None, 2), ("ema", 2), ("model", 1)):
        found = read_weights(tmp_path / "x.pth", key)
        assert torch.equal(found.tensors["encoder.norm.weight"], weights(seed)["norm.weight"])


def test_keys_within_themselves_come_to_an_end(tmp_path):
    endless = {}
    endless["state"] = endless
    torch.save({"model": endless}, tmp_path / "x.pth")
    with pytest.raises(ValueError, match="holds no weights"):
        read_weights(tmp_path / "x.pth")


HEADS = ("head_dist.weight", "proj_head.1.num_batches_tracked", "classifier.bias", "predictor.0.x")
HEADS += ("auxiliary_head.conv.weight", "neck.fc.weight", "student_projector.last.weight_g")


def test_heads_of_anybody_are_left_over_and_named(tmp_path):
    beside = {
        name: torch.tensor(1) if name.endswith("tracked") else torch.zeros(2) for name in HEADS
    }
    torch.save({"state_dict": under("module.", weights() | beside)}, tmp_path / "x.pth")
    encoder, said = open_encoder(tmp_path / "x.pth", heads=2)
    assert torch.equal(encoder.norm.weight, weights()["norm.weight"])
    assert "left over: head_dist.weight, proj_head.1.num_batches_tracked, classifier.bias" in said


def test_wrappers_within_a_model_are_no_part_of_its_names(tmp_path):
    wrapped = {
        name.replace("blocks.0.", "blocks.0._fsdp_wrapped_module._checkpoint_wrapped_module."): each
        for name, each in weights().items()
    }
    torch.save({"model": wrapped}, tmp_path / "x.pth")
    encoder, _ = open_encoder(tmp_path / "x.pth", heads=2)
    assert all(torch.equal(value, weights()[name]) for name, value in encoder.state_dict().items())


def test_a_patch_embedding_alone_is_no_encoder(tmp_path):
    stem = "patch_embed.proj.weight"
    both = under("vit.", weights()) | {f"a_tokenizer.{stem}": weights(1)[stem]}
    torch.save(both, tmp_path / "x.pth")
    found = read_weights(tmp_path / "x.pth")
    assert torch.equal(found.tensors["encoder.norm.weight"], weights()["norm.weight"])
    assert "under vit." in found.origin
    assert " not " not in found.origin


@pytest.mark.parametrize(
    ("plain", "averaged"),
    [
        ("net", "ema_model"),
        ("encoder_q", "encoder_k"),
        ("base_encoder", "momentum_encoder"),
        ("a", "target_network"),
    ],
)
def test_an_average_is_known_by_a_word_of_its_name(tmp_path, plain, averaged):
    both = under(f"{plain}.", weights(1)) | under(f"{averaged}.", weights(2))
    torch.save(both, tmp_path / "x.pth")
    found = read_weights(tmp_path / "x.pth")
    assert torch.equal(found.tensors["encoder.norm.weight"], weights(2)["norm.weight"])
    assert f"under {averaged}., not {plain}." in found.origin
    torch.save({"model": weights(1), averaged: weights(2)}, tmp_path / "y.pth")
    found = read_weights(tmp_path / "y.pth")
    assert torch.equal(found.tensors["encoder.norm.weight"], weights(2)["norm.weight"])
    assert f"under {averaged}, not model" in found.origin


def test_of_two_the_averaged_one_is_taken_and_named(tmp_path):
    both = under("student.backbone.", weights(1)) | under("teacher.backbone.", weights(2))
    torch.save(both, tmp_path / "x.pth")
    found = read_weights(tmp_path / "x.pth")
    assert torch.equal(found.tensors["encoder.norm.weight"], weights(2)["norm.weight"])
    assert "under teacher.backbone., not student.backbone." in found.origin
    torch.save({"state_dict": weights(1), "state_dict_ema": weights(2)}, tmp_path / "y.pth")
    found = read_weights(tmp_path / "y.pth")
    assert torch.equal(found.tensors["encoder.norm.weight"], weights(2)["norm.weight"])
    assert "under state_dict_ema, not state_dict" in found.origin


@pytest.mark.parametrize(
    ("key", "seed"),
    [
        ("student", 1),
        ("student.backbone", 1),
        ("teacher", 2),
        ("state_dict_ema", 4),
        ("state_dict", 2),
        ("state_dict.student", 1),
        (None, 4),
    ],
)
def test_a_key_chooses_among_the_weights_of_a_file(tmp_path, key, seed):
    both = under("student.backbone.", weights(1)) | under("teacher.backbone.", weights(2))
    where = key.startswith(("student", "teacher")) if key else False
    torch.save(
        {"state_dict": both} | ({} if where else {"state_dict_ema": weights(4)}), tmp_path / "x.pth"
    )
    found = read_weights(tmp_path / "x.pth", key)
    assert torch.equal(found.tensors["encoder.norm.weight"], weights(seed)["norm.weight"])


@pytest.mark.parametrize("key", ["ema", "teach", "student.nothing"])
def test_a_key_that_is_not_there_is_refused_with_those_that_are(tmp_path, key):
    save_file(
        under("student.backbone.", weights(1)) | under("teacher.", weights(2)),
        tmp_path / "x.safetensors",
    )
    with pytest.raises(
        ValueError, match=f"checkpoint_key={key}; there is one under student.backbone, teacher$"
    ):
        read_weights(tmp_path / "x.safetensors", key)


def test_heads_are_said_where_nothing_tells_them_and_contradict_nothing(tmp_path):
    torch.save(weights(), tmp_path / "x.pth")
    assert open_encoder(tmp_path / "x.pth", heads=4)[0].heads == 4
    with pytest.raises(ValueError, match="has 2 attention heads, and 4 are asked for"):
        read_weights(tmp_path / "x.pth")._replace(heads=2).with_heads(4)


def test_other_channels_are_no_other_encoder(tmp_path):
    grey = weights() | {"patch_embed.proj.weight": torch.zeros(16, 4, 8, 8)}
    torch.save(grey, tmp_path / "x.pth")
    with pytest.raises(ValueError, match="embeds images of 4 channels and the encoder those of 3"):
        load_checkpoint_into(tmp_path / "x.pth", ViT(**SIZES))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("blocks.0.mlp.w12.weight", "SwiGLU"),
        ("blocks.0.mlp.fc1_g.weight", "SwiGLU"),
        ("layers.0.blocks.0.attn.logit_scale", "Swin v2"),
        ("rope.freqs", "rotary"),
        ("blocks.0.attn.q_norm.weight", "normalised queries"),
        ("blocks.0.attns.1.qkv.weight", "parallel"),
        ("image_encoder.blocks.0.attn.rel_pos_h", "positions of rows and columns"),
    ],
)
def test_a_block_that_no_encoder_has_is_refused_by_name(name, said):
    with pytest.raises(ValueError, match=said) as refusal:
        refuse_other_blocks(["patch_embed.proj.weight", name], "x.pth")
    assert "\n" not in str(refusal.value)
    refuse_other_blocks(ViT(**SIZES).state_dict(), "x.pth")


def test_a_whole_file_of_another_network_is_refused_by_name(tmp_path):
    torch.save(
        {"model": under("backbone.", weights() | {"blocks.0.mlp.w12.weight": torch.zeros(3)})},
        tmp_path / "x.pth",
    )
    with pytest.raises(ValueError, match="SwiGLU"):
        open_encoder(tmp_path / "x.pth", heads=2)
    with pytest.raises(ValueError, match="SwiGLU"):
        load_checkpoint_into(tmp_path / "x.pth", ViT(**SIZES))


@pytest.mark.parametrize(
    "setting", [{"hidden_act": "relu"}, {"layer_norm_eps": 1e-5}, {"qkv_bias": False}]
)
def test_a_config_of_another_network_is_refused_by_its_setting(tmp_path, setting):
    (key,) = setting
    with pytest.raises(ValueError, match=f"says {key}="):
        refuse_other_config(setting, "config.json")
    save_file(weights(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(setting))
    with pytest.raises(ValueError, match=rf"config\.json says {key}="):
        read_weights(tmp_path)


HEAD = {"head.weight": torch.ones(3, 16), "head.bias": torch.ones(3)}


@pytest.mark.parametrize("prefix", ["model.encoder.", "encoder.", "module.encoder."])
def test_a_network_that_others_call_an_encoder_leaves_its_head(tmp_path, prefix):
    torch.save({"state_dict": under(prefix, weights() | HEAD)}, tmp_path / "x.ckpt")
    found = read_weights(tmp_path / "x.ckpt")
    encoder, _ = open_encoder(tmp_path / "x.ckpt", heads=2)
    assert all(torch.equal(value, weights()[name]) for name, value in encoder.state_dict().items())
    assert "encoder.head.weight" not in found.tensors


def test_a_layer_that_is_called_as_simmims_decoder_makes_no_simmim(tmp_path):
    beside = {"decoder.0.weight": torch.zeros(3, 3), "queue": torch.zeros(8, 8)}
    torch.save({"state_dict": under("encoder_q.", weights()) | beside}, tmp_path / "x.pth")
    encoder, said = open_encoder(tmp_path / "x.pth", heads=2)
    assert all(torch.equal(value, weights()[name]) for name, value in encoder.state_dict().items())
    assert "under encoder_q." in said


def test_positions_may_lack_an_axis_of_images(tmp_path):
    torch.save(weights() | {"pos_embed": weights()["pos_embed"][0]}, tmp_path / "x.pth")
    encoder, _ = open_encoder(tmp_path / "x.pth", heads=2)
    assert torch.equal(encoder.pos_embed, weights()["pos_embed"])


def test_what_is_to_be_typed_about_a_file_that_runs_something_makes_one_that_is_read(tmp_path):
    old, new = str(tmp_path / "old.pth"), str(tmp_path / "new.pth")
    arrays = {name: value.numpy() for name, value in weights().items()}
    for held in ({"model": arrays}, {"model": weights(), "odd": Odd()}, ViT(**SIZES)):
        torch.save(held, old)
        with pytest.raises(ValueError, match="is refused; if you trust it") as error:
            read_weights(old)
        said = str(error.value).partition("keep its weights only: ")[2]
        line, _, of_a_network = said.partition(", or of a file that is a network ")
        line = of_a_network if isinstance(held, ViT) else line
        exec(line, {"torch": torch, "old": old, "new": new})  # the line itself is under test
        assert len(read_weights(new).tensors) == len(weights())


class Odd:
    """What is in a file beside its weights."""
