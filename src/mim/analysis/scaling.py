"""What a step of many GPUs needs, from shapes alone: memory, what is sent, images. Nothing here is
measured.

Sizes are in bytes, of training under bf16 autocast with AdamW: weights, gradients and both moments
are float32.
"""

from typing import NamedTuple

FLOAT, HALF = 4, 2


class Stack(NamedTuple):
    """A row of equal transformer blocks."""

    width: int
    depth: int
    tokens: int
    """That pass through it, an image."""
    mlp_ratio: float = 4.0

    @property
    def parameters(self) -> int:
        """Of one block: projections and norms, with their biases."""
        D, hidden = self.width, int(self.width * self.mlp_ratio)
        return 4 * D * D + 4 * D + 2 * D * hidden + D + hidden + 4 * D

    def kept(self, full: int = FLOAT, half: int = HALF) -> float:
        """Bytes that one block keeps of one image for its backward pass.

        The inputs of both norms in full precision; what the norms give, queries, keys and values,
        what attention gives, and both sides of the activation function in half. No attention
        matrix: the fused kernel makes it anew.
        """
        return self.tokens * self.width * (2 * full + (2 + 3 + 1 + 2 * self.mlp_ratio) * half)


class Network(NamedTuple):
    """Network that is trained: its sizes, and what a pass through it costs."""

    name: str
    parameters: int
    stacks: tuple[Stack, ...]
    flops: float
    """Of one image's forward pass."""

    @property
    def largest_block(self) -> int:
        """Parameters of the largest block."""
        return max(stack.parameters for stack in self.stacks)

    @property
    def outside_blocks(self) -> int:
        """Parameters in no block."""
        return self.parameters - sum(stack.depth * stack.parameters for stack in self.stacks)

    @property
    def blocks(self) -> int:
        """Number of blocks, of all stacks."""
        return sum(stack.depth for stack in self.stacks)

    def activations(self, checkpointed: bool = False) -> float:
        """Bytes kept of one image for the backward pass; of checkpointed blocks their inputs, and
        one block's all.
        """
        if not checkpointed:
            return sum(stack.depth * stack.kept() for stack in self.stacks)
        inputs = sum(stack.depth * stack.tokens * stack.width * HALF for stack in self.stacks)
        return inputs + max(stack.kept() for stack in self.stacks)

    def seconds(self, images: float, flops_per_second: float, checkpointed: bool = False) -> float:
        """A step's computing: backward is two forwards, and checkpointing computes one more."""
        return images * self.flops * (4 if checkpointed else 3) / flops_per_second


class Memory(NamedTuple):
    """Bytes on one GPU."""

    state: float
    """Weights, gradients, moments: what this process holds of them."""
    gathered: float
    """Weights in bf16, and gradients on their way."""
    activations: float

    @property
    def total(self) -> float:
        """Bytes of all parts together."""
        return sum(self)


def memory_ddp(net: Network, images: float, checkpointed: bool = False) -> Memory:
    """All weights on every GPU, and the bf16 copies that autocast keeps of them."""
    state = 4 * FLOAT * net.parameters  # gradients live in the buckets that are sent
    return Memory(state, HALF * net.parameters, images * net.activations(checkpointed))


def memory_fsdp(net: Network, images: float, shares: int, checkpointed: bool = False) -> Memory:
    """A share of the weights; what is in no block stays gathered, of blocks the one that runs and
    the one that comes next.
    """
    state = 4 * FLOAT * net.parameters / shares
    passing = net.outside_blocks + 2 * net.largest_block
    return Memory(state, (HALF + HALF + FLOAT) * passing, images * net.activations(checkpointed))


class Traffic(NamedTuple):
    """What a step sends between computers."""

    bytes_per_gpu: float
    """Through each GPU's own network card."""
    waits: int
    """Messages that follow one another through the network, one after the other has arrived: each
    costs its delay.
    """
    smallest: float
    """Bytes of the smallest of these messages."""


def traffic_ddp(net: Network, gpus: int, per_node: int, bucket: int = 25 * 2**20) -> Traffic:
    """Gradients in float32 are summed, bucket by bucket: there and back along a tree of
    computers.
    """
    nodes = gpus // per_node
    size = FLOAT * net.parameters
    levels = (nodes - 1).bit_length()
    return Traffic(
        2 * size * (nodes - 1) / nodes / per_node,
        -(-size // bucket) * 2 * levels,
        bucket / per_node,
    )


def traffic_fsdp(net: Network, gpus: int, per_node: int, replicas: int = 1) -> Traffic:
    """Blocks are gathered in bf16 twice and their gradients summed in float32, around a ring of all
    GPUs that share them.

    With as many replicas as computers the rings stay within one, and only shares of gradients are
    summed between them.
    """
    nodes, size = gpus // per_node, net.parameters
    if replicas == 1:
        between = (2 * HALF + FLOAT) * size * (nodes - 1) / nodes / per_node
        return Traffic(
            between,
            3 * (net.blocks + 1) * (gpus - 1) * (nodes > 1),
            HALF * net.largest_block / gpus,
        )
    share = FLOAT * size / per_node
    levels = (nodes - 1).bit_length()
    return Traffic(
        2 * share * (nodes - 1) / nodes,
        (net.blocks + 1) * 2 * levels,
        FLOAT * net.largest_block / per_node,
    )
