"""Files that the methods of EMAE's comparison publish, by their own names and shapes, at small
size: each gives the encoder that wrote it, and the line says what was left.
"""

import pytest
import torch

from mim.encoder.beit import Beit
from mim.encoder.vit import ViT
from mim.weights.load import load_checkpoint_into, open_encoder
from tests.weights.conftest import varied

SIZES = {"image_size": 32, "patch_size": 8, "width": 128, "depth": 2, "heads": 2}


def under(prefix, tensors):
    return {prefix + name: value for name, value in tensors.items()}


def apart(tensors):
    return {name: value + 1 for name, value in tensors.items()}


def zeros(**shapes):
    return {name.replace("__", "."): torch.zeros(shape) for name, shape in shapes.items()}


def codes(width=128):
    """What BEiT's pre-training has beside its encoder (unilm, beit/modeling_pretrain.py)."""
    beside = zeros(mask_token=(1, 1, width), lm_head__weight=(9, width), lm_head__bias=(9,))
    index = torch.zeros(17, 17, dtype=torch.int64)
    return beside | {"rel_pos_bias.relative_position_index": index}


def aggregating(encoder, shared):
    """The same of BEiT v2 (beit2/modeling_pretrain.py): two more blocks; a norm and a head of their
    own, where they are not shared.
    """
    first = {name: v for name, v in encoder.items() if name.startswith("blocks.0.")}
    blocks = {
        name.replace("blocks.0.", f"cls_pt_layers.{number}."): torch.randn_like(value)
        for number in (0, 1)
        for name, value in first.items()
    }
    head = zeros(
        cls_pt_norm__weight=(128,),
        cls_pt_norm__bias=(128,),
        cls_pt_lm_head__weight=(9, 128),
        cls_pt_lm_head__bias=(9,),
    )
    return codes() | blocks | ({} if shared else head)


def of_vit(wrap):
    return (lambda: ViT(**SIZES)), wrap


def of_beit(wrap, **settings):
    return (lambda: Beit(**SIZES, **settings)), wrap


FILES = {
    # facebookresearch/moco-v3, main_moco.py:286-292; the average is taken, as of every file
    "MoCo v3": of_vit(
        lambda own: {
            "arch": "vit_base",
            "state_dict": under("module.base_encoder.", apart(own))
            | zeros(module__base_encoder__head__0__weight=(4, 128))
            | under("module.momentum_encoder.", own)
            | zeros(module__predictor__0__weight=(4, 4)),
        }
    ),
    # facebookresearch/dino, main_dino.py:331-340
    "DINO": of_vit(
        lambda own: {
            "student": under("module.backbone.", apart(own))
            | zeros(module__head__mlp__0__weight=(4, 128)),
            "teacher": under("backbone.", own)
            | zeros(head__mlp__0__weight=(4, 128), head__last_layer__weight_g=(4, 1)),
            "dino_loss": {"center": torch.zeros(1, 4)},
        }
    ),
    # bytedance/ibot, main_ibot.py and extract_backbone_weights.py
    "iBOT": of_vit(
        lambda own: {
            "student": under("module.backbone.", apart(own))
            | zeros(module__backbone__masked_embed=(1, 128)),
            "teacher": under("backbone.", own) | zeros(head__last_layer__weight_g=(4, 1)),
        }
    ),
    "iBOT, the backbone": of_vit(
        lambda own: {"state_dict": own | zeros(masked_embed=(1, 128))},
    ),
    # facebookresearch/msn, src/msn_train.py: save_checkpoint
    "MSN": of_vit(
        lambda own: {
            "encoder": under("module.", apart(own)) | zeros(module__fc__fc1__weight=(4, 128)),
            "target_encoder": under("module.", own) | zeros(module__fc__fc1__weight=(4, 128)),
            "prototypes": torch.zeros(4, 128),
        }
    ),
    "BEiT": of_beit(lambda own: {"model": own | codes()}, positions="shared_bias"),
    # beit_base_patch16_224_pt1k_800ep: --abs_pos_emb --layer_scale_init_value 0 (beit/README.md)
    "BEiT of ImageNet-1K": of_beit(
        lambda own: {"model": own | zeros(mask_token=(1, 1, 128), lm_head__weight=(9, 128))},
        positions="absolute",
        layer_scale=0.0,
    ),
    # facebookresearch/data2vec_vision, beit/modeling_cyclical.py: one vector a patch
    "data2vec": of_beit(
        lambda own: {"model": own | codes() | zeros(lm_head__weight=(128, 128))},
        positions="shared_bias",
    ),
    "BEiT v2": of_beit(
        lambda own: {"model": own | aggregating(own, shared=True)}, positions="shared_bias"
    ),
    "BEiT v2, heads of its own": of_beit(
        lambda own: {"model": own | aggregating(own, shared=False)}, positions="shared_bias"
    ),
    # lxtGH/CAE, models/modeling_cae.py: its positions are fixed and in the file
    "CAE": of_beit(
        lambda own: {
            "model": under("encoder.", own)
            | under("teacher.", apart(own))
            | zeros(mask_token=(1, 1, 128), pretext_neck__decoder_blocks__0__gamma_1=(128,))
        },
        positions="sincos_rows_first",
        start="cae",
    ),
}


@pytest.fixture
def written(tmp_path):
    """A published file of a method, and the encoder that is in it."""

    def write(name):
        build, wrap = FILES[name]
        torch.manual_seed(0)
        encoder = varied(build())
        torch.save(wrap(encoder.state_dict()), tmp_path / "published.pth")
        return encoder, tmp_path / "published.pth"

    return write


def same(a, b):
    image = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return torch.allclose(a.eval()(image), b.eval()(image), atol=1e-5)


@pytest.mark.parametrize("name", FILES)
def test_a_published_file_gives_the_encoder_that_wrote_it(written, name):
    encoder, file = written(name)
    read, line = open_encoder(file, heads=2)
    assert type(read) is type(encoder)
    assert same(read, encoder)
    count = len(encoder.state_dict())
    assert f"encoder {count} of {count} tensors" in line


@pytest.mark.parametrize(("name", "own"), [("BEiT v2", True), ("BEiT v2, heads of its own", False)])
def test_what_aggregates_is_left_over_and_named(written, name, own):
    _, file = written(name)
    _, line = open_encoder(file, heads=2)
    rest = 30 + 3 if own else 30 + 3 + 4  # two blocks of 15, BEiT's mask token and head
    assert f"left over: mask_token, lm_head.weight, lm_head.bias and {rest - 3} more" in line


@pytest.mark.parametrize("name", ["BEiT", "BEiT v2"])
def test_the_shared_bias_is_every_block_s_where_it_is_fine_tuned(written, name):
    encoder, file = written(name)
    each = Beit(**SIZES, positions="block_bias")
    line = load_checkpoint_into(file, each)
    assert same(each, encoder)
    assert "the shared bias copied to every block" in line


def test_moco_v3_s_own_evaluation_takes_the_encoder_that_gradients_trained(written):
    encoder, file = written("MoCo v3")
    read = ViT(**SIZES)
    line = load_checkpoint_into(file, read, "base_encoder")
    expected = apart(encoder.state_dict())
    assert all(torch.equal(value, expected[name]) for name, value in read.state_dict().items())
    assert "under base_encoder." in line


def test_fixed_positions_of_cae_are_fine_tuned_with_biases_that_start_at_zero(written):
    encoder, file = written("CAE")
    tuned = Beit(**SIZES, positions="sincos_rows_first_and_block_bias")
    line = load_checkpoint_into(file, tuned)
    assert same(tuned, encoder)
    assert "2 tables of biases at zero" in line


def test_absolute_positions_without_a_head_of_codes_may_still_be_others(tmp_path):
    torch.save(Beit(**SIZES, positions="absolute", layer_scale=0.0).state_dict(), tmp_path / "x")
    with pytest.raises(ValueError, match="may have rotary positions"):
        open_encoder(tmp_path / "x", heads=2)
