"""Codes of a frozen tokenizer in place of masked patches (BEiT, arXiv 2106.08254, section 2.1).

BEiT v2 has another tokenizer (arXiv 2208.06366).
"""

import argparse
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from mim.checkpoint.sound import UNREADABLE, check_archive, check_numbers, check_storage
from mim.geometry import Geometry
from mim.masker.split import Split
from mim.part import Part
from mim.ranges import Count
from mim.target.dalle import DalleEncoder
from mim.target.vqkd import CODEBOOK, VqkdEncoder
from mim.tokens import take

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class Codes(Part, nn.Module):
    """Number of the code that a tokenizer gives each masked patch: what a cross entropy compares
    scores of all codes with.

    The tokenizer sees the view itself, of such a size that a code stands for a patch: of 14 x 14
    patches DALL-E's sees 112 x 112 pixels, and BEiT v2's 224 x 224. BEiT resizes the crop anew for
    it (beit/datasets.py: second_input_size). Which of the two it is, its tensors tell. It is read
    before the first step, and no checkpoint has it.

    Args:
        geometry: of the images.
        tokenizer: file of the tensors of DALL-E's encoder, or of BEiT v2's VQ-KD.
        codes: how many there are.
        mean, std: that images are normalised with; "imagenet" for ImageNet's.
        heads: attention heads of a VQ-KD, which no tensor tells; null for 64 channels each, as
            published.

    Raises:
        ValueError: where normalised pixels cannot be put back, or images have no three channels.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        geometry: Geometry,
        tokenizer: str,
        codes: Count = 8192,
        mean: Sequence[float] | Literal["own", "imagenet"] = "imagenet",
        std: Sequence[float] | Literal["own", "imagenet"] = "imagenet",
        heads: Count | None = None,
    ):
        super().__init__()
        if mean == "own" or std == "own":
            raise ValueError(
                "target=codes puts pixels back to [0, 1] for its tokenizer and has to know how "
                "they were normalised; give "
                "data.mean=imagenet data.std=imagenet, or three numbers each"
            )
        if geometry.channels != 3:
            raise ValueError(
                f"tokenizers see images of 3 channels, and these have {geometry.channels}"
            )
        self.file, self.dim, self.codes, self.geometry = Path(tokenizer), codes, codes, geometry
        for name, values, known in (("mean", mean, IMAGENET[0]), ("std", std, IMAGENET[1])):
            numbers = torch.tensor(known if values == "imagenet" else list(values)).view(3, 1, 1)
            self.register_buffer(name, numbers, persistent=False)
        self.heads = heads
        self.encoder: DalleEncoder | VqkdEncoder | None = None

    def begin_epoch(self, epoch: int) -> None:
        """Read the tokenizer, where that was not done."""
        if self.encoder is None:
            self.encoder = self._read().to(self.mean.device)

    def _read(self) -> DalleEncoder | VqkdEncoder:
        """Tokenizer of the file.

        Raises:
            FileNotFoundError: where there is none.
            ValueError: where it is no tokenizer that is known, or has another number of codes.
        """
        if not self.file.exists():
            raise FileNotFoundError(
                f"there is no tokenizer at {self.file}; give the tensors of DALL-E's encoder, or "
                "of BEiT v2's VQ-KD, loss.target.tokenizer=encoder.pt "
                "(docs/weights.md#a-tokenizer)"
            )
        tensors = _read_tensors(self.file)
        try:
            if CODEBOOK in tensors:
                encoder: DalleEncoder | VqkdEncoder = VqkdEncoder(
                    tensors, self.geometry.grid, self.heads
                )
            else:
                encoder = DalleEncoder(tensors)
                if self.heads is not None:
                    raise ValueError(
                        "DALL-E's encoder, which has no attention; loss.target.heads=null"
                    )
        except ValueError as error:
            raise ValueError(f"{self.file} holds {error}") from error
        if encoder.codes != self.codes:
            raise ValueError(
                f"{self.file} has {encoder.codes:,} codes, and {self.codes:,} are to be predicted; "
                f"loss.target.codes={encoder.codes}"
            )
        return encoder

    @torch.no_grad()
    def forward(self, image: Tensor, split: Split) -> Tensor:
        """Images (B, 3, H, W), masked indices (B, K, Lm) -> numbers of codes (B, K, Lm, 1)
        int64.
        """
        if self.encoder is None:
            self.begin_epoch(0)
        assert self.encoder is not None
        pixels = (image.float() * self.std + self.mean).clamp(0, 1)
        size = [side * self.encoder.side for side in self.geometry.grid]
        if size != list(pixels.shape[-2:]):
            pixels = interpolate(pixels, size, mode="bicubic", antialias=True).clamp(0, 1)
        return take(self.encoder(pixels)[..., None], split.masked)


def _read_tensors(file: Path) -> dict[str, Tensor]:
    """Tensors of a file, under `state_dict` or `model` or at the top; nothing in it is run."""
    check_archive(file)
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):  # a training's command line
            content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{file} wants to run code while it is opened, and is refused; keep its tensors where "
            "the package that it needs is: "
            'torch.save(torch.load("encoder.pkl", weights_only=False).state_dict(), "encoder.pt")'
        ) from error
    except UNREADABLE as error:
        raise ValueError(
            f"{file} cannot be read: {' '.join(str(error).split())[:100]}; copy it again"
        ) from error
    content = (
        content.get("model", content.get("state_dict", content))
        if isinstance(content, dict)
        else {}
    )
    content = content if isinstance(content, dict) else {}
    tensors = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    check_storage(tensors, str(file))
    check_numbers(tensors, str(file))
    return tensors
