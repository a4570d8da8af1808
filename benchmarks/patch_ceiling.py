"""What patches of a size can reach on scattered digits: mIoU of an oracle that knows each patch's
classes.

    python benchmarks/patch_ceiling.py      # seconds

The oracle says of each patch which share of its pixels is of each class, or only the class of most
of them; as the judges of frozen tokens do, its scores are resized to pixels, bilinear, before a
class is chosen.
"""

import torch
from hydra.utils import instantiate
from torch.nn.functional import avg_pool2d, interpolate, one_hot

import mim
from mim.evaluate.overlap import Overlap


def reached(scores: torch.Tensor, label_map: torch.Tensor) -> float:
    """mIoU of scores of patches (N, classes, h, w) on label maps (N, H, W)."""
    size = (label_map.shape[1], label_map.shape[2])
    pixels = interpolate(scores, size=size, mode="bilinear", align_corners=False)
    overlap = Overlap([str(number) for number in range(scores.shape[1])])
    overlap.update(pixels.argmax(dim=1), label_map)
    return float(overlap.row()["miou"])


def main() -> None:
    """Print a table by size of patches."""
    data = instantiate(mim.compose("task=segment", "data=scattered_digits").data)
    scenes, classes = data.scenes("label_maps").val, 11
    label_map = torch.stack([scenes.label_map(number) for number in range(len(scenes))]).long()
    pixels = one_hot(label_map, classes).float().movedim(-1, 1)
    print("| patch | shares | majority |\n|--:|--:|--:|")
    for patch in (2, 4, 8, 16):
        shares = avg_pool2d(pixels, patch)
        majority = one_hot(shares.argmax(dim=1), classes).float().movedim(-1, 1)
        values = " | ".join(f"{reached(scores, label_map):.3f}" for scores in (shares, majority))
        print(f"| {patch} | {values} |")


if __name__ == "__main__":
    main()
