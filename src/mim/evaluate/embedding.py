"""A picture of what features hold: held-out images as points of a plane, in the colours of their
classes.
"""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from mim.analysis.embedding import Points, Projection, agreement, scatter, write
from mim.analysis.figure_files import save_figure
from mim.analysis.names import display_name, names_of_checkpoints
from mim.batch import Batch
from mim.evaluate.classify import ready
from mim.evaluate.evaluated_checkpoint import EvaluatedCheckpoint
from mim.evaluate.evaluation import Row
from mim.evaluate.feature_extractor import FeatureExtractor
from mim.evaluate.features import extract
from mim.pool.pool import Pools
from mim.ranges import Count, TwoOrMore, in_range


class Embedding:
    """Draw each checkpoint under each pool; leave `embedding.png`, `.pdf` and the coordinates as
    `embedding.csv`.

    Args:
        projection: puts features into the plane.
        pools: what stands for an image, by name.
        block: of which block's tokens, from 1; null for the last.
        norm: whether the encoder's final norm is applied to them.
        names: what the figure calls the checkpoints; null for names made of where they are.
        classes: draw images of at most so many classes, the first ones; colours tell ten apart
            well.
        limit: draw at most so many held-out images, evenly spread; null for all.
    """

    learns = False

    @in_range
    def __init__(
        self,
        projection: Projection,
        pools: Pools,
        block: int | None = None,
        norm: bool = True,
        names: list[str] | None = None,
        classes: Count = 10,
        limit: TwoOrMore | None = 2000,
    ):
        self.projection, self.pools, self.block, self.norm = projection, pools, block, norm
        self.names, self.classes, self.limit = names, classes, limit

    def __call__(self, checkpoints: Sequence[EvaluatedCheckpoint]) -> Row:
        """A table: of each panel, in how many cases the nearest neighbour in the picture is of the
        same class.

        Raises:
            ValueError: where checkpoints are judged on different classes, or it is not one name a
                checkpoint.
        """
        names = names_of_checkpoints(self.names, [checkpoint.name for checkpoint in checkpoints])
        classes = checkpoints[0].data.classes[: self.classes]
        if any(checkpoint.data.classes[: self.classes] != classes for checkpoint in checkpoints):
            raise ValueError(
                "the checkpoints were trained on different classes; choose one data set for all, "
                "data=cifar10"
            )
        drawn = {
            (name, pool): points
            for name, checkpoint in zip(names, checkpoints, strict=True)
            for pool, points in self._points(name, checkpoint).items()
        }
        folder, sheets = checkpoints[0].folder, list(drawn.values())
        picture = save_figure(scatter(sheets, classes), folder, "embedding")
        write(sheets, classes, folder / "embedding.csv")
        table = [
            {"model": name, "pool": pool, "images": len(points.label)}
            | ({"neighbour_of_same_class": agreement(points)} if classes else {})
            for (name, pool), points in drawn.items()
        ]
        return {"table": table, "picture": str(picture)}

    def _points(self, name: str, checkpoint: EvaluatedCheckpoint) -> dict[str, Points]:
        """Points of the images of one checkpoint, by pool."""
        seen: list[Tensor] = []

        def noted(batches: Iterable[Batch]) -> Iterator[Batch]:
            for batch in batches:
                seen.append(batch.index)
                yield batch

        extractor = FeatureExtractor(
            checkpoint.encoder, ready(self.pools, checkpoint.encoder), self.block, self.norm
        )
        features = extract(
            checkpoint, extractor, noted(checkpoint.data.val_dataloader(self.limit, self.classes))
        )
        image = torch.cat(seen).cpu().numpy()
        return {
            pool: Points(
                f"{name}, {display_name(pool)}",
                self.projection(feature.cpu().numpy()),
                label.cpu().numpy(),
                image,
            )
            for pool, (feature, label) in features.items()
        }
