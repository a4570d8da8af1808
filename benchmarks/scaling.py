"""What MAE with ViT-B, -L and -H needs on 8 to 1,024 GPUs, computed from shapes: the tables of
docs/scaling.md.

python benchmarks/scaling.py python benchmarks/scaling.py --images 8192 --memory 40 --network 25
--utilisation 0.3   # another step, other machines
"""

import argparse
from collections.abc import Iterator
from functools import partial

import torch

from mim.analysis.cost import forward_flops
from mim.analysis.scaling import (
    Memory,
    Network,
    Stack,
    memory_ddp,
    memory_fsdp,
    traffic_ddp,
    traffic_fsdp,
)
from mim.encoder.vit import ViT
from mim.masker.masker import Masker
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.score.random import Random
from mim.model.decoder import Decoder
from mim.model.mae import MAE

ENCODERS = {
    "ViT-B/16": (16, 768, 12, 12),
    "ViT-L/16": (16, 1024, 24, 16),
    "ViT-H/14": (14, 1280, 32, 16),
}
GPUS = (8, 32, 128, 512, 1024)
NODE = 8
GB = 1e9


def network(name: str, patch: int, width: int, depth: int, heads: int) -> Network:
    """MAE at 224 pixels, a quarter visible, with the published decoder; built without memory."""
    with torch.device("meta"):
        decoder = partial(Decoder, width=512, depth=8, heads=16)
        model = MAE(
            ViT(224, patch, width, depth, heads),
            Masker(Random(), FixedRatio(0.75)),
            decoder,
            {"pixel": 3 * patch**2},
        )
        flops = forward_flops(model, torch.device("meta"))
    patches = (224 // patch) ** 2
    stacks = Stack(width, depth, patches // 4 + 1), Stack(512, 8, patches + 1)
    return Network(name, sum(p.numel() for p in model.parameters()), stacks, flops)


def table(head: list[str], rows: Iterator[list[str]]) -> str:
    """Markdown, numbers to the right."""
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def sizes(nets: list[Network]) -> str:
    """What does not depend on the number of GPUs."""
    head = [
        "",
        "parameters, M",
        "in the largest block, M",
        "GFLOP an image, forward",
        "activations an image, MB",
        "checkpointed, MB",
    ]
    return table(
        head,
        (
            [
                *(
                    net.name,
                    f"{net.parameters / 1e6:.1f}",
                    f"{net.largest_block / 1e6:.1f}",
                    f"{net.flops / 1e9:.1f}",
                ),
                *(f"{net.activations(kept) / 1e6:.1f}" for kept in (False, True)),
            ]
            for net in nets
        ),
    )


def memory(nets: list[Network], images: int, limit: float) -> str:
    """GB on each GPU: state + gathered + activations = total."""

    def cell(memory: Memory) -> str:
        text = " + ".join(f"{part / GB:.1f}" for part in memory) + f" = {memory.total / GB:.1f}"
        return f"**{text}**" if memory.total > limit * GB else text

    def rows() -> Iterator[list[str]]:
        for net in nets:
            for gpus in GPUS:
                each = images / gpus
                ways = (
                    memory_ddp(net, each),
                    memory_ddp(net, each, True),
                    memory_fsdp(net, each, gpus),
                    memory_fsdp(net, each, NODE),
                )
                yield [f"{net.name}, {gpus:,}", f"{each:g}", *map(cell, ways)]

    return table(
        ["GPUs", "images on each", "ddp", "ddp, checkpointed", "fsdp", "fsdp, a replica a node"],
        rows(),
    )


def time(nets: list[Network], images: int, flops: float, network: float, delay: float) -> str:
    """Milliseconds of a step: computing, and for each strategy sending + waiting for the
    network.
    """

    def rows() -> Iterator[list[str]]:
        for net in nets:
            for gpus in GPUS[1:]:
                computing = net.seconds(images / gpus, flops)
                ways = (
                    traffic_ddp(net, gpus, NODE),
                    traffic_fsdp(net, gpus, NODE),
                    traffic_fsdp(net, gpus, NODE, gpus // NODE),
                )
                cells = []
                for way in ways:
                    sending, waiting = way.bytes_per_gpu / network, way.waits * delay
                    text = f"{sending * 1e3:.1f} + {waiting * 1e3:.1f}"
                    cells.append(f"**{text}**" if sending + waiting > computing * 2 / 3 else text)
                yield [
                    f"{net.name}, {gpus:,}",
                    f"{computing * 1e3:.0f}",
                    *cells,
                    f"{ways[1].smallest / 1e3:.0f}",
                ]

    return table(
        [
            "GPUs",
            "computing",
            "ddp",
            "fsdp",
            "fsdp, a replica a node",
            "a gathered piece of fsdp, kB",
        ],
        rows(),
    )


def pictures(nets: list[Network], flops: float, picture: float, decoded: float) -> str:
    """What eight GPUs that never wait read."""

    def rows() -> Iterator[list[str]]:
        for net in nets:
            rate = NODE / net.seconds(1, flops)
            yield [net.name, f"{rate:,.0f}", f"{rate * picture / GB:.2f}", f"{rate / decoded:.0f}"]

    return table(
        ["", "images a second and node", "GB a second and node", "cores a node that decode"], rows()
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=4096, help="a step")
    parser.add_argument("--memory", type=float, default=80, help="GB of a GPU")
    parser.add_argument("--flops", type=float, default=989, help="peak of a GPU in bf16, TFLOP/s")
    parser.add_argument(
        "--utilisation", type=float, default=0.4, help="share of that peak which is reached"
    )
    parser.add_argument(
        "--network", type=float, default=50, help="GB/s between computers, for each GPU"
    )
    parser.add_argument(
        "--delay", type=float, default=10, help="of a message between computers, microseconds"
    )
    parser.add_argument("--picture", type=float, default=110, help="kB of a file")
    parser.add_argument("--decoded", type=float, default=200, help="pictures a second and core")
    given = parser.parse_args()
    nets = [network(name, *shape) for name, shape in ENCODERS.items()]
    flops = given.flops * 1e12 * given.utilisation
    print(sizes(nets))
    print(memory(nets, given.images, given.memory))
    print(time(nets, given.images, flops, given.network * GB, given.delay * 1e-6))
    print(pictures(nets, flops, given.picture * 1e3, given.decoded))


if __name__ == "__main__":
    main()
