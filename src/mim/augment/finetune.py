"""What MAE (util/datasets.py) and SimMIM (data/data_finetune.py) fine-tune on: crops and flips,
then timm's changes of pixels.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import chain
from typing import cast

import numpy as np
import torch
from PIL import Image
from timm.data import create_transform
from timm.data.auto_augment import AugMixAugment, AutoAugment, RandAugment, posterize
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from mim.augment.crop_flip import Boxes, CropFlip
from mim.augment.resample import Interpolation
from mim.ranges import Count, NotNegative, Share


@lru_cache
def _changes(
    policy: str | None, color_jitter: float | None, size: int
) -> Callable[[Image.Image], Image.Image]:
    """The middle part of timm's training transform: what comes after cropping and flipping, before
    tensors.
    """
    changes = create_transform(
        size,
        is_training=True,
        auto_augment=policy,
        color_jitter=cast(float, color_jitter),  # timm takes none as well
        interpolation="bicubic",
        separate=True,
    )[1]
    for part in changes.transforms:
        random_ops = part.ops if isinstance(part, RandAugment | AugMixAugment) else []
        for op in chain(random_ops, *(part.policy if isinstance(part, AutoAugment) else [])):
            if op.aug_fn is posterize:
                op.aug_fn = _posterize
    return changes


def _posterize(image: Image.Image, bits: int, **kwargs: object) -> Image.Image:
    """Keep so many bits of each channel; none leaves black. timm asks for none now and then, which
    Pillow 13 refuses.
    """
    return (
        posterize(image, bits, **kwargs) if bits else image.point([0] * 256 * len(image.getbands()))
    )


@contextmanager
def _streams_of(key: int) -> Iterator[None]:
    """Random streams that belong to a key; afterwards they go on as if nothing had been drawn."""
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002  # timm draws from it
    random.seed(key)
    np.random.seed(key % 2**32)  # noqa: NPY002
    torch.manual_seed(key)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
        torch.set_rng_state(before[2])


class Finetune(CropFlip):
    """Decide where each image is cropped and whether it is mirrored, and change its pixels, by
    processes that decode.

    Mirroring comes last, on the training device. timm mirrors first; as every change is as likely
    to the left as to the right, it is the same.

    Args:
        boxes: the recipe for crops.
        flip: probability of mirroring left to right.
        policy: timm's name of a rand-augment, as `rand-m9-mstd0.5-inc1`; null for none.
        color_jitter: strength of jitter in brightness, contrast and saturation; only without a
            policy. Where an official config sets both (SimMIM's 0.4), timm takes the policy alone.
        interpolation: how a crop is resized.
        repeats: views of an image that follow each other in an epoch, which has so many times
            fewer images: 3 for DeiT (repeated augmentation, arXiv 2012.12877, section 6).

    Raises:
        ValueError: where timm does not know the policy, or nothing is to be changed.
    """

    paints = True

    def __init__(
        self,
        boxes: Boxes,
        flip: Share = 0.5,
        policy: str | None = "rand-m9-mstd0.5-inc1",
        color_jitter: NotNegative | None = None,
        interpolation: Interpolation = "bicubic",
        repeats: Count = 1,
    ):
        super().__init__(boxes, flip, interpolation)
        self.repeats = repeats
        if (policy is None) == (color_jitter is None):
            raise ValueError(
                f"Finetune got policy={policy}, color_jitter={color_jitter}; needs one of them, "
                "e.g. "
                "policy=rand-m9-mstd0.5-inc1 color_jitter=null (augment@data.augment=crop_flip "
                "changes no pixels)"
            )
        try:
            _changes(policy, color_jitter, 224)
        except (AssertionError, KeyError, ValueError) as error:
            raise ValueError(
                f"timm knows no policy={policy}; e.g. rand-m9-mstd0.5-inc1, augmix-m3 or v0"
            ) from error
        self.policy, self.color_jitter = policy, color_jitter

    def __str__(self) -> str:
        painted = self.policy or f"colour jitter {self.color_jitter:g}"
        again = f", {self.repeats} views of each image" if self.repeats > 1 else ""
        return f"{super().__str__()}, then {painted}{again}"

    def paint(self, image: Tensor, key: int) -> Tensor:
        """A cropped image (3, size, size) uint8, changed as its key says -> the same."""
        with _streams_of(key):
            changed = _changes(self.policy, self.color_jitter, image.shape[-1])(
                F.to_pil_image(image)
            )
        return F.pil_to_tensor(changed)
