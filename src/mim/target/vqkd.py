"""Tokenizer of BEiT v2, frozen: a picture -> a code for every patch (VQ-KD, arXiv 2208.06366).

microsoft/unilm, beit2/modeling_vqkd.py and norm_ema_quantizer.py, under their names of tensors.
Nothing here trains it.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, normalize

from mim.encoder.beit import Beit
from mim.encoder.positions import resize_positions
from mim.ranges import Count

HEAD = 64
"""Channels of an attention head in the published tokenizers."""
CODEBOOK = "quantize.embedding.weight"


class VqkdEncoder(nn.Module):
    """Encoder and codebook of a VQ-KD, 8,192 codes of 32 channels in the published ones.

    Sizes are read off its tensors. A patch has the code whose direction is nearest to that of its
    token, projected. Positions are resized as the release does it, where images have another grid.
    Its tensors are no parameters, and no checkpoint of a run has them.

    Args:
        tensors: of the release's `VQKD`, `encoder.patch_embed.proj.weight`,
            `encode_task_layer.0.weight`, `quantize.embedding.weight`, ...; those of its decoder and
            teacher may be missing.
        grid: rows and columns of patches that it is to see.
        heads: attention heads, which no tensor tells; None for 64 channels each.

    Raises:
        ValueError: where one is missing or of another shape, or the heads do not divide the width.
    """

    def __init__(
        self, tensors: Mapping[str, Tensor], grid: tuple[int, int], heads: Count | None = None
    ):
        super().__init__()
        try:
            width, _, self.side, _ = tensors["encoder.patch_embed.proj.weight"].shape
            inside = {
                name.removeprefix("encoder.").replace("fc_norm.", "norm."): value.float()
                for name, value in tensors.items()
                if name.startswith("encoder.")
            }
            depth = len({name.split(".")[1] for name in inside if name.startswith("blocks.")})
            first, last, codebook = (
                tensors[name]
                for name in ("encode_task_layer.0.weight", "encode_task_layer.2.weight", CODEBOOK)
            )
            trained = inside["pos_embed"]
            ratio = len(inside["blocks.0.mlp.fc1.weight"]) / width
        except KeyError as missing:
            raise ValueError(f"no tokenizer of BEiT v2: {missing.args[0]} is missing") from missing
        side = round((trained.shape[1] - 1) ** 0.5)
        patches = resize_positions(trained[:, 1:], (side, side), grid, offset=0.1)
        inside["pos_embed"] = torch.cat([trained[:, :1], patches], dim=1)
        size = (grid[0] * self.side, grid[1] * self.side)
        count = max(1, width // HEAD) if heads is None else heads
        encoder = Beit(size, self.side, width, depth, count, "absolute", ratio, layer_scale=0.0)
        self.project = nn.Sequential(
            nn.Linear(width, len(first)), nn.Tanh(), nn.Linear(last.shape[1], last.shape[0])
        )
        projecting = {
            name.removeprefix("encode_task_layer."): v
            for name, v in tensors.items()
            if "encode_task" in name
        }
        try:
            encoder.load_state_dict(inside)
            self.project.load_state_dict(projecting)
        except RuntimeError as error:
            raise ValueError(
                f"no tokenizer of BEiT v2: {' '.join(str(error).split())[:200]}"
            ) from error
        self.encoder = encoder.eval()
        self.codebook = nn.Parameter(codebook.float())
        self.codes = len(codebook)
        for module in self.modules():
            _make_buffers(module)

    @torch.no_grad()
    def vectors(self, image: Tensor) -> Tensor:
        """Pixels in [0, 1] (B, 3, H, W) -> a direction for each patch, (B, L, codebook's channels).

        In float32, whatever the autocast.
        """
        with torch.autocast(image.device.type, enabled=False):
            tokens = self.encoder(2 * image.float() - 1)[:, 1:]
            return normalize(self.project(tokens), dim=-1)

    def forward(self, image: Tensor) -> Tensor:
        """Pixels in [0, 1] (B, 3, H, W) -> numbers of codes, row by row, (B, L) int64."""
        with torch.no_grad(), torch.autocast(image.device.type, enabled=False):
            # 1 but for rounding, where averages are normalised
            squares = self.codebook.square().sum(-1)
            return (squares - 2 * linear(self.vectors(image), self.codebook)).argmin(-1)


def _make_buffers(module: nn.Module) -> None:
    """Turn a module's own parameters into buffers that no checkpoint has, and its buffers too."""
    named = {
        **dict(module.named_parameters(recurse=False)),
        **dict(module.named_buffers(recurse=False)),
    }
    for name, value in named.items():
        delattr(module, name)
        module.register_buffer(name, value.detach(), persistent=False)
