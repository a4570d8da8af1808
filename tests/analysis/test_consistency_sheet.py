import pytest
import torch

from mim.analysis.consistency import disagreement, sheet, stages
from mim.geometry import Geometry
from mim.loss.consistency import Consistency
from mim.masker.partition.parallel_parts import ParallelParts
from mim.masker.score.ranking import Ranking
from mim.masker.split import Split

SPLIT = ParallelParts(4)(Ranking(torch.rand(2, 16, generator=torch.Generator().manual_seed(0))))
PREDICTED = torch.rand(*SPLIT.masked.shape, 12, generator=torch.Generator().manual_seed(1))
IMAGE = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(2))


def test_disagreement_is_the_consistency_loss_patch_by_patch():
    apart = disagreement(PREDICTED, SPLIT, patches=16)
    assert apart.shape == (2, 16)
    assert apart.mean().item() == pytest.approx(
        Consistency(geometry=Geometry.of(2, 2))(PREDICTED, IMAGE, SPLIT).item(), rel=1e-5
    )


def test_a_patch_that_no_two_parts_predict_has_none():
    split = Split(torch.tensor([[[2], [1]]]), torch.tensor([[[0, 1], [0, 2]]]))
    apart = disagreement(torch.tensor([[[1.0, 5.0], [4.0, 7.0]]])[..., None], split, patches=4)
    assert apart[0, 0].item() == 3
    assert apart[0, 1:].isnan().all()


def test_a_sheet_shows_what_each_part_saw_and_made_of_it(tmp_path):
    drawn = sheet(IMAGE, PREDICTED, SPLIT, patch_size=2, title="epoch 1")
    filled = [len(axis.images) for axis in drawn.axes[: 4 * 6]]
    # image, four parts, disagreement: twice two rows
    assert filled == [1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1] * 2
    drawn.savefig(tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 10_000


def test_stages_of_training_stand_below_each_other_on_one_scale():
    drawn = stages(IMAGE, {"before": PREDICTED, "after": PREDICTED / 2}, SPLIT, patch_size=2)
    filled = [len(axis.images) for axis in drawn.axes[: 6 * 6]]
    assert filled == [1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1] * 2
    maps = [drawn.axes[row * 6 + 5].images[0] for row in (1, 2, 4, 5)]
    assert {(heat.norm.vmin, heat.norm.vmax) for heat in maps} == {
        (0, max(heat.get_array().max() for heat in maps))
    }
    assert maps[1].get_array().data == pytest.approx(maps[0].get_array().data / 2)


def test_one_part_is_refused():
    with pytest.raises(
        ValueError, match="shows several parts of each image; use masker/partition=parallel_parts"
    ):
        sheet(
            IMAGE, PREDICTED[:, :1], Split(SPLIT.visible[:, :1], SPLIT.masked[:, :1]), patch_size=2
        )
