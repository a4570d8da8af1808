"""Time one step of data2vec and BootMAE (forward, backward, optimiser, teacher) on index sets, and
on the whole grid.

    python benchmarks/whole_grid.py --batch 16

On the whole grid a step computes every patch wherever it can, and throws away what is not wanted.
data2vec's student predicts all patches, targets are made of all, and errors of visible ones count
0. BootMAE's encoder is given all patches, whose attention to masked ones is minus infinity, as
where masks are a matter of attention; its decoders predict all patches. (BootMAE's release gathers
visible patches as we do.) Weights, masks and the loss are the same; first losses are printed to
show it.

The two take turns in one process, in an order drawn anew each round. Times are of the processor,
because other programs use it too. Ratios are taken within a round.
"""

import argparse
import copy
import os
import random
import statistics
import warnings
from itertools import product
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d
from turns import Contestant, compare

from mim.batch import Batch, blank
from mim.encoder.padding import padding_bias
from mim.loss.neighbour_term import NeighbourTerm
from mim.loss.term import Term
from mim.masker.split import Split
from mim.model.cross_decoder import CrossDecoder
from mim.part import Progress
from mim.precision import at_least_single

CONFIGS = Path(__file__).parents[1] / "configs"
METHODS = {
    "data2vec": ["model=simmim", "loss=features", "teacher=ema", "masker=block"],
    "bootmae": ["model=bootmae", "masker=block", "masker.partition.ratio=0.75"],
}
SMALL_DECODERS = [
    f"model.decoder.{name}.{setting}"
    for name, setting in product(("pixel", "feature"), ("width=128", "heads=4"))
]


def task_of(method: str, encoder: str, image: int, patch: int) -> Any:
    """A training as its configs build it."""
    width, depth, heads = encoder.split("x")
    given = [*METHODS[method], *(SMALL_DECODERS if method == "bootmae" else [])]
    given += ["encoder=vit_small", f"encoder.width={width}", f"encoder.depth={depth}"]
    given += [f"encoder.heads={heads}", f"encoder.patch_size={patch}", f"data.image_size={image}"]
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return instantiate(compose("train", [*given, "trainer=cpu", "name=bench"]).task)


class OnSets(nn.Module):
    """A step of this project; a batch -> scalar loss."""

    def __init__(self, task: Any):
        super().__init__()
        self.model, self.loss, self.teacher = task.model, task.loss, task.teacher

    def forward(self, batch: Batch) -> Tensor:
        terms, _ = self.loss.of_step(self.model, batch, self.teacher)
        return self.loss.weigh(terms)

    def follow(self) -> None:
        """Average the teacher."""
        self.teacher.after_step(self.model, Progress(0, 1, 1))


class OnTheGrid(OnSets):
    """The same, of all patches."""

    def forward(self, batch: Batch) -> Tensor:
        L, grid = self.model.encoder.geometry.patches, self.model.encoder.geometry.grid
        hidden = self.model.masker(batch, grid).hidden(L)[:, 0]
        every = torch.arange(L).expand(len(hidden), 1, L)
        predictions = (
            self._as_bootmae(batch.image, hidden)
            if hasattr(self.model, "block")
            else self._as_data2vec(batch.image, hidden, every)
        )
        terms = {}
        for name, term in self.loss.term.items():
            assert isinstance(term, Term)
            values = term.values(batch.image, Split(every, every), self.teacher)[:, 0]
            error = term.measure(at_least_single(predictions[name]), values)
            if isinstance(term, NeighbourTerm):
                around = avg_pool2d(hidden.float().unflatten(1, grid)[:, None], 3, 1, padding=1)
                error = error * (1 + around.flatten(1))
            terms[name] = (error * hidden).sum() / hidden.sum()
        return self.loss.weigh(terms)

    def _as_data2vec(self, image: Tensor, hidden: Tensor, every: Tensor) -> dict[str, Tensor]:
        encoder = self.model.encoder
        token = encoder.position_token(self.model.mask_token, every)[:, 0]
        embedded = encoder.embed(image)
        tokens = torch.where(hidden[..., None], token.to(embedded.dtype), embedded)
        (name,) = self.loss.term
        return {name: self.model.decoder(encoder.encode(tokens)[:, encoder.prefix :])}

    def _as_bootmae(self, image: Tensor, hidden: Tensor) -> dict[str, Tensor]:
        encoder, seen = self.model.encoder, ~hidden
        blocks = [*self.model.block.values(), encoder.depth]
        *contexts, last = encoder.encode_blocks(encoder.embed(image), blocks, valid=seen)
        cls = torch.ones_like(seen[:, : encoder.prefix])
        bias, latent = padding_bias(torch.cat([cls, seen], dim=1)), encoder.norm(last)
        decoders = zip(self.model.decoders.items(), contexts, strict=True)
        return {
            name: _decoded(decoder, latent, context, hidden, bias)
            for (name, decoder), context in decoders
        }


def _decoded(
    decoder: CrossDecoder, latent: Tensor, context: Tensor, hidden: Tensor, bias: Tensor
) -> Tensor:
    """Predictions of all patches (B, L, P)."""
    x, prefix = decoder.embed(latent), latent.shape[1] - hidden.shape[1]
    masked = (decoder.mask_token + decoder.pos_embed[:, 1:]).to(x.dtype)
    patches = torch.where(hidden[..., None], masked, x[:, prefix:])
    x = torch.cat([x[:, :prefix], patches], dim=1)
    for block in decoder.blocks:
        x = block(x, context, None, bias)
    return decoder.predict(decoder.norm(x))[:, prefix:]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--method", choices=list(METHODS), nargs="+", default=list(METHODS))
    parser.add_argument("--encoder", default="192x12x3", help="width x depth x heads")
    parser.add_argument("--image", type=int, default=64)
    parser.add_argument("--patch", type=int, default=8)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--precision", choices=["32", "bf16"], nargs="+", default=["32", "bf16"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    random.seed(args.seed)
    torch.set_num_threads(args.threads)
    print(
        f"encoder {args.encoder}, {args.image} pixels in patches of {args.patch}, batch "
        f"{args.batch}, CPU, {args.threads} threads, torch {torch.__version__}, seed {args.seed}, "
        f"{args.rounds} rounds, load {os.getloadavg()[0]:.1f}\n"
    )
    print("| method | precision | | first loss | ms / step | time over ours (quartiles) |")
    print("|---|---|---|--:|--:|--:|")
    for method, precision in product(args.method, args.precision):
        torch.manual_seed(args.seed)
        batch = blank(args.batch, (args.image, args.image), torch.device("cpu"))
        batch = batch.with_image(torch.randn_like(batch.image))
        task = task_of(method, args.encoder, args.image, args.patch)
        ways = {"index sets": OnSets(task), "whole grid": OnTheGrid(copy.deepcopy(task))}
        contestants = {
            name: Contestant(way, (batch,), precision == "bf16") for name, way in ways.items()
        }
        seconds = compare(contestants, args.rounds)
        for name, times in seconds.items():
            pairs = zip(times, seconds["index sets"], strict=True)
            low, middle, high = statistics.quantiles([a / b for a, b in pairs], n=4)
            print(
                f"| {method} | {precision} | {name} | {contestants[name].first_loss:.4f} "
                f"| {1e3 * statistics.median(times):.1f} "
                f"| {middle:.2f} ({low:.2f} to {high:.2f}) |",
                flush=True,
            )


if __name__ == "__main__":
    main()
