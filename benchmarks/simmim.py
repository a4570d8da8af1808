"""Time one training step of SimMIM: index sets against a dense implementation with the same weights, masks and loss.

    python benchmarks/simmim.py --encoder small --patch 16 --image 224 --batch 16

The dense one embeds every patch, mixes in the mask token and predicts every pixel, as the official code does (models/simmim.py); it
cannot leave out patches. First losses are printed to show that both compute the same. Contestants take turns as in step.py.
"""

import argparse
import random
import statistics
from functools import partial
from pathlib import Path

import torch
from omegaconf import OmegaConf
from step import CONFIGS, Contestant, compare
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from mim.batch import blank
from mim.encoder.vit import ViT
from mim.loss.pixel import Pixel
from mim.masker.masker import Masker
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.partition.throw_middle import ThrowMiddle
from mim.masker.score.random import Random
from mim.model.simmim import SimMIM

CELL = 2


class OnSets(nn.Module):
    """This project's SimMIM; images (B, 3, H, W) -> scalar loss."""

    def __init__(self, image: int, patch: int, encoder: tuple[int, int, int], partition: nn.Module):
        super().__init__()
        torch.manual_seed(0)
        self.loss = Pixel(patch, normalise=False, norm="l1")
        self.model = SimMIM(ViT(image, patch, *encoder), Masker(Random(), partition, CELL), self.loss.target_dim)

    def forward(self, image: Tensor) -> Tensor:
        prediction, split = self.model(blank(len(image), image.shape[2:], image.device)._replace(image=image))
        return self.loss(prediction, image, split)


class Dense(nn.Module):
    """The same on the whole grid, over timm's blocks; masks (B, 1, rows, columns), 1 is hidden."""

    def __init__(self, image: int, patch: int, encoder: tuple[int, int, int], partition: nn.Module):
        super().__init__()
        sets = OnSets(image, patch, encoder, partition).model
        width, depth, heads = encoder
        norm = partial(nn.LayerNorm, eps=1e-6)
        self.vit = VisionTransformer(
            image, patch, embed_dim=width, depth=depth, num_heads=heads, num_classes=0, norm_layer=norm
        )
        self.vit.load_state_dict(sets.encoder.state_dict())
        self.vit.pos_embed.requires_grad_(False)
        self.mask_token, self.masker, self.grid, self.patch = sets.mask_token, sets.masker, sets.encoder.grid, patch
        self.head = nn.Sequential(nn.Conv2d(width, 3 * patch**2, 1), nn.PixelShuffle(patch))
        weight, bias = (
            sets.decoder.weight.data,
            sets.decoder.bias.data,
        )  # by (row, column, channel); PixelShuffle wants (channel, row, column)
        order = torch.arange(3 * patch**2).view(patch, patch, 3).permute(2, 0, 1).flatten()
        self.head[0].weight.data, self.head[0].bias.data = weight[order, :, None, None].clone(), bias[order].clone()

    def forward(self, image: Tensor) -> Tensor:
        B = len(image)
        masked = self.masker(blank(B, image.shape[2:], image.device), self.grid).masked[:, 0]
        mask = image.new_zeros(B, self.grid[0] * self.grid[1], 1).scatter(1, masked[..., None], 1.0)
        tokens = self.vit.patch_embed(image)
        tokens = tokens * (1 - mask) + self.mask_token * mask
        tokens = torch.cat([self.vit.cls_token.expand(B, -1, -1), tokens], dim=1) + self.vit.pos_embed
        latent = self.vit.norm(self.vit.blocks(tokens))[:, 1:]
        prediction = self.head(latent.transpose(1, 2).unflatten(2, self.grid))
        pixels = mask.view(B, 1, *self.grid).repeat_interleave(self.patch, 2).repeat_interleave(self.patch, 3)
        return ((prediction.float() - image).abs() * pixels).sum() / pixels.sum() / 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--encoder",
        choices=sorted(p.stem.removeprefix("vit_") for p in Path(CONFIGS).glob("vit_*.yaml")),
        default="small",
    )
    parser.add_argument("--patch", type=int, default=16)
    parser.add_argument("--image", type=int, default=224)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--precision", choices=["32", "bf16"], default="32")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of the CPU")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=1, help="steps per contestant and round; more on a fast device")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    random.seed(0)

    encoder = OmegaConf.load(CONFIGS / f"vit_{args.encoder}.yaml")
    sizes = (args.image, args.patch, (encoder.width, encoder.depth, encoder.heads))
    torch.manual_seed(1)
    image = torch.randn(args.batch, 3, args.image, args.image, device=args.device)
    half = FixedRatio(0.6, "mask_up")
    models = {
        "ours": OnSets(*sizes, half),
        "dense": Dense(*sizes, half),
        "ours, 26 % thrown (AMT)": OnSets(*sizes, ThrowMiddle(0.44, 0.26)),
    }
    contestants = [Contestant(name, model, image, args.precision, compiled=False) for name, model in models.items()]
    seconds = compare(contestants, args.rounds, args.steps)
    print(
        f"ViT-{args.encoder}/{args.patch}, {args.image} pixels, batch {args.batch}, precision {args.precision}, {args.device}\n"
    )
    print("| | parameters | first loss | ms / step | images / s | time over ours (quartiles) |")
    print("|---|--:|--:|--:|--:|--:|")
    for c in contestants:
        median = statistics.median(seconds[c.name])
        ratios = [theirs / ours for theirs, ours in zip(seconds[c.name], seconds["ours"], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        speed = f"{1e3 * median:.1f} | {args.batch / median:.1f} | {middle:.2f} ({low:.2f} to {high:.2f})"
        print(f"| {c.name} | {c.parameters:,} | {c.first_loss:.4f} | {speed} |")


if __name__ == "__main__":
    main()
