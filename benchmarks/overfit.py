"""Eight scenes learned by heart: ViTDet's average precision on what it was trained on, as a check
of the whole chain.

    python benchmarks/overfit.py                      # some minutes on a core
    python benchmarks/overfit.py --steps 50           # does it run

Nothing is jittered, mirrored or decayed. Regions and anchors are drawn anew in every step.
"""

import argparse
import time

import torch
from hydra.utils import instantiate

import mim
from mim.head.average_precision import Detected

SCENES = 8


def main() -> None:
    """Train, judging now and then."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--every", type=int, default=100)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    given = (
        "task=detect",
        "data=scattered_digits",
        f"data.train_scenes={SCENES}",
        f"data.batch_size={SCENES}",
    )
    cfg = mim.compose(*given, "data.held_out=1", "data.jitter.scale=[1,1]", f"seed={args.seed}")
    torch.manual_seed(args.seed)
    data = instantiate(cfg.data)
    data.learn_from("objects")
    model = instantiate(cfg.task.model)(num_classes=10)
    batch = data.on_after_batch_transfer(next(iter(data.train_dataloader())))
    optimizer = torch.optim.AdamW(model.parameters(), args.lr, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.steps)
    start = time.perf_counter()
    for step in range(1, args.steps + 1):
        loss = sum(
            model.train().losses(batch._replace(key=batch.key + step)).values(),
            start=torch.zeros(()),
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % args.every == 0 or step == args.steps:
            detected = Detected(data.training_scenes)
            detected.add(model.eval().detect(batch.image, batch.size), batch)
            box, mask = (found["AP"] for found in detected.row().values())
            seconds = time.perf_counter() - start
            print(
                f"step {step}  loss {loss.item():.3f}  box AP {box:.3f}  mask AP {mask:.3f}  "
                f"{seconds:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
