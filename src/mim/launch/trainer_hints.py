"""Type hints of a trainer's settings, tighter than Lightning's own, which let through what fails
late or does harm.
"""

import re
from typing import Annotated, Literal

from annotated_types import Ge
from pydantic import AfterValidator

from mim.plain import Settings
from mim.ranges import Count, NonNegativeInt, Positive, Share, SomeShare


def _days_hours_minutes_seconds(text: str) -> str:
    """What Lightning's timer reads."""
    if re.fullmatch(r"\d+:\d{2}:\d{2}:\d{2}", text) is None:
        raise ValueError("DD:HH:MM:SS (days, hours, minutes and seconds), e.g. 00:12:00:00")
    return text


def _not_overfitted(batches: float) -> float:
    """Lightning would take the sampler away, by which a batch is known."""
    if batches:
        raise ValueError(
            "left out; debug=overfit trains on one batch, and trainer.limit_train_batches on a few"
        )
    return batches


Accelerator = Literal["auto", "cpu", "cuda", "gpu", "mps"]
# weights stay float32, as targets are
_Precision = Literal["32-true", "bf16-mixed", "16-mixed", "32", 32] | None
_Duration = Annotated[str, AfterValidator(_days_hours_minutes_seconds)] | None
TIGHTER: dict[str, Settings] = {
    "pytorch_lightning.Trainer": {
        "accelerator": Accelerator,
        "accumulate_grad_batches": Count | None,
        "check_val_every_n_epoch": Count | None,
        "gradient_clip_val": Positive | None,
        "limit_train_batches": Count | SomeShare | None,
        "limit_val_batches": NonNegativeInt | Share | None,
        "log_every_n_steps": Count,
        "max_epochs": Count,
        "max_steps": Literal[-1] | Count,
        "max_time": _Duration,
        "num_nodes": Count,
        "num_sanity_val_steps": Annotated[int, Ge(-1)],
        "precision": _Precision,
        "overfit_batches": Annotated[float, AfterValidator(_not_overfitted)],
    }
}
"""By the class that is built, then by setting."""
