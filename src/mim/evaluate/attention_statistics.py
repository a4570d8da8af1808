"""What attention does, block by block, drawn for several checkpoints in one figure (Beyond [cls],
arXiv 2412.03215).
"""

import json
from collections.abc import Sequence

from mim.analysis.attention_pass import check_attends, measure
from mim.analysis.attention_stats import HeadStatistics
from mim.analysis.curves import Curves, curves
from mim.analysis.figure_files import save_figure
from mim.analysis.names import names_of_checkpoints
from mim.evaluate.evaluated_checkpoint import EvaluatedCheckpoint
from mim.evaluate.evaluation import Row
from mim.ranges import Count, in_range


class AttentionStatistics:
    """Measure held-out images, whole and unmasked; leave `statistics.json`, and the figure as
    `attention_stats.png` and `.pdf`.

    Args:
        names: what the figure calls the checkpoints; null for names made of where they are.
        limit: look at at most so many held-out images, evenly spread; null for all.
    """

    learns = False

    @in_range
    def __init__(self, names: list[str] | None = None, limit: Count | None = None):
        self.names, self.limit = names, limit

    def __call__(self, checkpoints: Sequence[EvaluatedCheckpoint]) -> Row:
        """A table of each checkpoint's last block, and `curves`: over blocks, the mean of each
        statistic.

        Raises:
            ValueError: where an encoder has no cls token that attends to all patches, or it is not
                one name a checkpoint.
        """
        names = names_of_checkpoints(self.names, [checkpoint.name for checkpoint in checkpoints])
        for checkpoint in checkpoints:  # before the first is measured
            check_attends(checkpoint.encoder)
        known: list[Row] = [
            {"name": name} | self._measure(checkpoint)
            for name, checkpoint in zip(names, checkpoints, strict=True)
        ]
        folder = checkpoints[0].folder
        (folder / "statistics.json").write_text(json.dumps(known, indent=2) + "\n")
        fields = ("name", "grid", "patch_size", "statistics")
        figure = curves([Curves(**{field: model[field] for field in fields}) for model in known])
        return {
            "table": [_last_block(model) for model in known],
            "curves": {
                f"by_block/{model['name']}/{statistic}": values["mean"]
                for model in known
                for statistic, values in model["statistics"].items()
            },
            "picture": str(save_figure(figure, folder, "attention_stats")),
        }

    def _measure(self, checkpoint: EvaluatedCheckpoint) -> Row:
        encoder = checkpoint.encoder
        stats = measure(
            encoder,
            checkpoint.data.val_dataloader(self.limit),
            checkpoint.prepare,
            checkpoint.autocast,
        )
        return {
            "checkpoint": checkpoint.name,
            "images": stats.head.count,
            "grid": list(encoder.geometry.grid),
            "patch_size": list(encoder.geometry.patch_size),
            "statistics": stats.summary(),
        }


def _last_block(model: Row) -> Row:
    shown = {
        name: model["statistics"][name]["mean"]
        for name in HeadStatistics._fields
        if "adjusted" not in name
    }
    block = len(shown["distance"])
    return {"model": model["name"], "block": block} | {
        name: values[-1] for name, values in shown.items()
    }
