"""SBAM's, AMT's and AttMask's masks with every method, as a command line composes and builds them;
what is not defined is refused in words.
"""

import shlex

import pytest
import torch
from hydra.utils import instantiate

from tests.parity.distilled import views_of
from tests.slow import quick
from tests.stored import Golden

TOKENIZED = "data.mean=imagenet data.std=imagenet {codes}.tokenizer={file} {codes}.codes={number}"
VIEWS = (
    "augment@data.augment=multi_crop data.augment.local_crops=2 data.augment.local_size=16 "
    "model.head.hidden=16"
)
BEIT = "encoder=beit_pico"
METHODS = {
    "mae": "model=mae",
    "simmim": "model=simmim",
    "data2vec": f"model=simmim {BEIT} loss=features loss.target.blocks=2 teacher=ema",
    "beit": f"model=simmim {BEIT} loss=codes " + TOKENIZED.replace("{codes}", "loss.target"),
    "beit_v2": f"model=beit_v2 {BEIT} loss=beit_v2 "
    + TOKENIZED.replace("{codes}", "loss.term.codes.target"),
    "cae": f"model=cae {BEIT} encoder.positions=sincos_rows_first "
    + TOKENIZED.replace("{codes}", "loss.term.codes.target"),
    "bootmae": "model=bootmae",
    "cmae": "model=cmae augment@data.augment=shifted_pair data.augment.margin=4 "
    "data.augment.shift=4",
    "ijepa": "model=ijepa",
    "moco_v3": "model=moco_v3 augment@data.augment=multi_crop_moco_v3 model.head.hidden=16 "
    "model.predictor.hidden=16",
    "msn": f"model=msn {VIEWS} loss.term.match.prototypes=16",
    "dino": f"model=dino {VIEWS} loss.term.cls.out=32",
    "ibot": f"model=ibot {VIEWS} loss.term.cls.out=32 loss.term.patch.out=32",
}
OF_VIEWS = ("moco_v3", "msn", "dino", "ibot")
MASKERS = ("sbam", "amt", "attmask")
OF_PARTS = ("emae", "independent", "multi_block")
SMALL = "trainer=cpu data.batch_size=4"
TRAINED = ("beit_v2-amt", "bootmae-attmask", "cmae-sbam", "data2vec-amt", "msn-sbam")
PAIRS = {f"{method}-{masker}": (method, masker) for method in METHODS for masker in MASKERS}
SEVERAL = {f"{method}-{masker}": (method, masker) for method in OF_VIEWS for masker in OF_PARTS}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """File of a tokenizer, and how many codes it has."""
    tensors = Golden("dalle_encoder").under("sd.")
    file = tmp_path_factory.mktemp("tokenizer") / "encoder.pt"
    torch.save(tensors, file)
    return file, len(tensors["blocks.output.conv.w"])


@pytest.fixture
def config(composed_command, tokenizer):
    """The config of a method with a masker."""
    file, number = tokenizer

    def compose(method, masker):
        method = METHODS[method].format(file=shlex.quote(str(file)), number=number)
        return composed_command(f"train.py {method} masker={masker} {SMALL}")

    return compose


def built(cfg):
    """The training of a config, and what its masker will have made."""
    torch.manual_seed(0)
    task, splits = instantiate(cfg.task).train(), []
    if task.teacher is not None:
        task.teacher.begin(task.model)
    task.model.masker.register_forward_hook(lambda module, given, made: splits.append(made))
    return task, splits


def loss_of(task, cfg):
    """Loss of four images in views as the config has them."""
    large = torch.randn(2, 4, 3, *task.model.encoder.geometry.image_size)
    crops, side = (cfg.data.augment.get(f"local_{name}", 1) for name in ("crops", "size"))
    return task.objective(views_of(large, torch.randn(crops, 4, 3, side, side)))[0]


@pytest.mark.parametrize("pair", quick(PAIRS, "beit-sbam", "cae-amt", "ijepa-sbam", "dino-attmask"))
def test_every_pair_passes_the_checks_of_a_command(config, pair):
    method, masker = PAIRS[pair]
    assert config(method, masker).masker._target_.startswith("mim.masker.")


@pytest.mark.parametrize("pair", quick(PAIRS, *TRAINED))
def test_every_pair_trains_what_it_masks(config, pair):
    cfg = config(*PAIRS[pair])
    task, splits = built(cfg)
    loss = loss_of(task, cfg)
    loss.backward()
    assert loss.isfinite()
    assert splits
    assert all(split.masked.shape[-1] and split.visible.shape[-1] for split in splits)
    gradients = [p.grad for p in task.model.encoder.parameters() if p.grad is not None]
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("pair", quick(SEVERAL, "ibot-emae"))
def test_views_are_not_masked_in_several_parts(config, pair):
    cfg = config(*SEVERAL[pair])
    task, _ = built(cfg)
    with pytest.raises(ValueError, match=r"this masker makes \d parts of it; take masker="):
        loss_of(task, cfg)
