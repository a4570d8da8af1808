"""Make one file of what many processes saved."""

from pathlib import Path

from mim.checkpoint.atomic import AtomicCheckpointIO
from mim.checkpoint.resume import checkpoint_file
from mim.checkpoint.sharded import is_sharded, read_sharded


def write_whole(source: str | Path, out: Path) -> str:
    """Gather the shares of a checkpoint in one file, as a training on one process writes it; return
    lines about it.

    Raises:
        FileNotFoundError: where there is no checkpoint.
        ValueError: where it is one file already, or there is something at `out`.
    """
    folder = checkpoint_file(source)
    if not is_sharded(folder):
        raise ValueError(
            f"{folder} is one file already; copy it, or choose another format with --to"
        )
    if out.exists():
        raise ValueError(f"{out} exists already; remove it, or write elsewhere")
    checkpoint = read_sharded(folder)
    AtomicCheckpointIO().save_checkpoint(checkpoint, out)
    weights = checkpoint["state_dict"].values()
    return (
        f"{'read':<14}{folder}: step {checkpoint['global_step']:,}\n"
        f"{'wrote':<14}{out}: {len(weights)} tensors, {sum(value.numel() for value in weights):,} "
        "numbers, and the optimiser's\n"
        f"{'load with':<14}python train.py resume={out}, or checkpoint={out}"
    )
