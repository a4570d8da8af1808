"""How a data set shows its pictures: crops, flips, interpolation, normalisation and the centre that
is judged.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from mim.augment.colours import RADIUS
from mim.augment.multi_crop import MultiCrop
from mim.batch import blank
from mim.data.sampler import Rows
from mim.draw import keys
from tests.recipes.crops import DRAWS, SIZES

HEIGHT, WIDTH = 375, 500
INTERPOLATIONS = {"bicubic": InterpolationMode.BICUBIC, "bilinear": InterpolationMode.BILINEAR}


def draw_pictures(root: Path) -> Path:
    """Two class folders of one picture each, for training and held out, in place of ImageNet."""
    torch.manual_seed(0)
    for split in ("train", "val"):
        for name in ("first", "second"):
            folder = root / split / name
            folder.mkdir(parents=True)
            coarse = torch.rand(1, 3, HEIGHT // 3, WIDTH // 3)
            fine = torch.nn.functional.interpolate(coarse, (HEIGHT, WIDTH), mode="bicubic").clamp(
                0, 1
            )
            F.to_pil_image(fine[0]).save(folder / "picture.png")
    return root


def views(data: DictConfig, pictures: Path) -> dict[str, Any]:
    """Facts of a `data` node, of which `pictures` are to be shown."""
    node = OmegaConf.merge(data, {"root": str(pictures), "num_workers": 0})
    return dict(_views(OmegaConf.to_yaml(node, resolve=True)))


@lru_cache
def _views(yaml: str) -> tuple[tuple[str, Any], ...]:
    node: Any = OmegaConf.create(yaml)
    augment = instantiate(node.augment)
    kinds, flips = _kinds(augment), []
    boxes: dict[str, dict[tuple[int, int], Tensor]] = {name: {} for name in kinds}
    for name, of_kind in kinds.items():
        for size in SIZES:
            drawn, flip, _ = of_kind[0](
                keys(0, 0, torch.arange(DRAWS)), torch.tensor([size]).expand(DRAWS, 2)
            )
            boxes[name][size] = torch.stack(
                [drawn[:, 3] - drawn[:, 1], drawn[:, 2] - drawn[:, 0]], 1
            ).float()
            flips.append(flip.float())
    unpainted = OmegaConf.merge(node, {})
    for key in ("policy", "color_jitter", "repeats"):
        unpainted.augment.pop(key, None)
    if "margin" in unpainted.augment:
        none = dict.fromkeys(("jittered", "grey", "blur", "solarize"), 0.0)
        unpainted.augment.update({**none, "margin": 0, "shift": 0})
    elif "jittered" in unpainted.augment:
        unpainted.augment.update(
            {"jittered": 0.0, "grey": 0.0, "blur": [0.0] * 3, "solarize": [0.0] * 3}
        )
    else:
        unpainted.augment._target_ = "mim.augment.crop_flip.CropFlip"
    dataset: Any = instantiate(unpainted)
    facts = {
        "_boxes": boxes,
        "flip": round(torch.cat(flips).mean().item(), 1),
        **{f"{name}.size": of_kind[0].size or node.image_size for name, of_kind in kinds.items()},
        **{f"{name}.interpolation": _interpolation_of_crops(dataset) for name in kinds},
        **(_of_one(augment, node) if "crop" in kinds else _of_several(kinds)),
    }
    return tuple((facts | _normalisation(dataset) | _evaluation(dataset)).items())


def _kinds(augment: Any) -> dict[str, list[Any]]:
    """Views by what the ledger calls them: a crop, which two may share, or global and local
    ones.
    """
    views = augment.views
    if len(views) == 1 or not isinstance(augment, MultiCrop):
        return {"crop": [views[0]]}
    kinds = {
        "crops.global": [v for v in views if v.size is None],
        "crops.local": [v for v in views if v.size],
    }
    return {name: of_kind for name, of_kind in kinds.items() if of_kind}


def _of_one(augment: Any, node: DictConfig) -> dict[str, Any]:
    """What happens to the colours of the only view, or of the second."""
    return {
        "auto_augment": getattr(augment, "policy", None),
        "color_jitter": getattr(augment, "color_jitter", None),
        **({"repeated_augmentation": augment.repeats} if augment.views[0].repeats > 1 else {}),
        **(
            _colours(augment.views[-1].colours)
            if augment.views[-1].paints and "jittered" in node.augment
            else {}
        ),
        **{
            f"views.{name}": getattr(augment.views[-1], name)
            for name in ("margin", "shift")
            if name in node.augment
        },
    }


def _of_several(kinds: dict[str, list[Any]]) -> dict[str, Any]:
    """How many views there are, and what happens to the colours of the first two and of small
    ones.
    """
    every = {"first_global": kinds["crops.global"][0], "second_global": kinds["crops.global"][-1]}
    every |= {"local": kinds["crops.local"][0]} if "crops.local" in kinds else {}
    jitters = [
        view.colours.jitter._asdict() | {"probability": view.colours.jittered}
        for view in every.values()
    ]
    assert all(jitter == jitters[0] for jitter in jitters)
    return {
        **{f"{name}.number": len(of_kind) for name, of_kind in kinds.items()},
        "views.color_jitter": jitters[0],
        "views.grey": every["first_global"].colours.grey,
        "views.blur": {"radius": list(RADIUS)}
        | {name: view.colours.blur for name, view in every.items()},
        "views.solarise": {name: view.colours.solarize for name, view in every.items()},
    }


def _colours(colours: Any) -> dict[str, Any]:
    """How much colours are jittered, and how often anything is done to them."""
    return {
        "color_jitter": colours.jitter._asdict() | {"share": colours.jittered},
        **{name: getattr(colours, name) for name in ("grey", "blur", "solarize")},
    }


def _interpolation_of_crops(dataset: Any) -> str:
    """Whose resize of the same box is nearest to ours."""
    count = 8
    batch = dataset.splits.train[Rows(torch.zeros(count).long(), keys(0, 1, torch.arange(count)))]
    picture = _stored(dataset, "train")
    boxes = (batch.box * torch.tensor([WIDTH, HEIGHT, WIDTH, HEIGHT])).round().long().tolist()
    crops = [picture[:, y1:y2, x1:x2] for x1, y1, x2, y2 in boxes]
    return _nearest(batch.image, crops, [dataset.image_size] * 2)


def _stored(dataset: Any, split: str) -> Tensor:
    """The first picture of a split (3, H, W)."""
    return F.pil_to_tensor(Image.open(dataset.root / split / "first" / "picture.png"))


def _nearest(images: Tensor, crops: list[Tensor], size: list[int]) -> str:
    """The interpolation by which pictures (3, H, W) become images (B, 3, size, size)."""
    gaps = {}
    for name, mode in INTERPOLATIONS.items():
        theirs = torch.stack([F.resize(crop, size, mode, antialias=True) for crop in crops])
        gaps[name] = (theirs.float() - images.float()).abs().mean().item()
    best = min(gaps, key=lambda name: gaps[name])
    assert gaps[best] < 0.3, f"no resize gives these pixels: {gaps}"
    return best


def _normalisation(dataset: Any) -> dict[str, Any]:
    """Mean and deviation, by what becomes of black and of white."""
    images = blank(2, (dataset.image_size,) * 2)
    pixels = torch.stack(
        [torch.zeros_like(images.image[0]), torch.full_like(images.image[0], 255)]
    ).byte()
    black, white = dataset.on_after_batch_transfer(images.with_image(pixels)).image[:, :, 0, 0]
    std = 1 / (white - black)
    return {"normalisation.mean": (-black * std).tolist(), "normalisation.std": std.tolist()}


def _evaluation(dataset: Any) -> dict[str, Any]:
    """The centre that held-out pictures are judged on."""
    batch = dataset.splits.val[Rows(torch.zeros(1).long(), torch.zeros(1).long())]
    top, bottom = batch.box[0, 1::2].tolist()
    short = round(dataset.image_size / (bottom - top))
    picture = _stored(dataset, "val")
    gaps = {}
    for name, mode in INTERPOLATIONS.items():
        theirs = F.center_crop(
            F.resize(picture, [short], mode, antialias=True), [dataset.image_size] * 2
        )
        gaps[name] = (theirs.float() - batch.image[0].float()).abs().mean().item()
    return {
        "evaluation.resize_short_side": short,
        "evaluation.centre_crop": batch.image.shape[-1],
        "evaluation.interpolation": min(gaps, key=lambda name: gaps[name]),
    }
