import math

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

from mim.analysis.attention_pass import AttentionPass
from mim.analysis.curves import PANELS, Curves, curves
from mim.analysis.lines import COLOURS


def model(name: str, depth: int = 3, grid: tuple[int, int] = (4, 4), seed: int = 0) -> Curves:
    """A model of random statistics."""
    stats, draw = AttentionPass(grid), torch.Generator().manual_seed(seed)
    stats.head.add(torch.rand(5, depth, 4, 9, generator=draw))
    stats.block.add(torch.rand(5, depth, 9, generator=draw))
    stats.update.add(torch.rand(5, depth, 2, generator=draw))
    return Curves(name, grid, (8, 8), stats.summary())


def ink(figure) -> float:
    """Share of the picture that is not white."""
    figure.canvas.draw()
    picture = np.asarray(figure.canvas.buffer_rgba())[..., :3]
    return float((picture < 250).any(-1).mean())


@pytest.fixture
def drawn():
    def draw(*models):
        figure = curves(models)
        FigureCanvasAgg(figure)
        return figure

    return draw


def test_every_statistic_has_a_panel_and_every_model_a_curve_in_it(drawn):
    models = [model("MAE"), model("DINO", depth=5, seed=1)]
    figure = drawn(*models)
    assert len(figure.axes) == len(PANELS) + 1
    for axis, (statistic, _, _) in zip(figure.axes, PANELS, strict=False):
        lines = [line for line in axis.get_lines() if len(line.get_xdata()) > 2]
        assert [list(line.get_xdata()) for line in lines] == [[1, 2, 3], [1, 2, 3, 4, 5]]
        for line, one in zip(lines, models, strict=True):
            scale = 8 if statistic == "distance" else 1
            expected = [scale * value for value in one.statistics[statistic]["mean"]]
            assert list(line.get_ydata()) == pytest.approx(expected)
    assert 0.01 < ink(figure) < 0.6


def test_the_legend_names_every_model(drawn):
    legend = (
        drawn(model("MAE"), model("A model whose name is far too long for one line"))
        .axes[-1]
        .get_legend()
    )
    said = [text.get_text().replace("\n", " ") for text in legend.get_texts()]
    assert said[:2] == ["MAE", "A model whose name is far too long for one line"]


def test_uniform_attention_is_drawn_for_reference():
    one = model("MAE", grid=(2, 2))
    assert one.uniform("cls_to_cls") == pytest.approx(1 / 5)
    # less the official 1e-6
    assert one.uniform("patch_entropy") == pytest.approx(math.log(4), abs=1e-5)
    assert one.uniform("distance") == pytest.approx(8 * (2 + 2**0.5) / 4)


def test_more_models_than_colours_are_told_apart(drawn):
    count = len(COLOURS) + 2
    lines = drawn(*(model(str(i), seed=i) for i in range(count))).axes[0].get_lines()
    styles = {
        (line.get_color(), line.get_linestyle()) for line in lines if len(line.get_xdata()) > 2
    }
    assert len(styles) == count


def test_one_block_is_a_point(drawn):
    assert ink(drawn(model("MAE", depth=1))) > 0.01
