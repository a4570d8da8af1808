import csv
from functools import partial

import numpy as np
import pytest

from mim.analysis import embedding
from mim.analysis.embedding import TSNE, UMAP, Points, agreement, scatter, write


def blobs(count: int = 60, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Features of classes that are far apart, and labels."""
    draw = np.random.default_rng(0)
    label = np.arange(count) % classes
    return (10 * np.eye(classes, 8)[label] + draw.normal(size=(count, 8)) / 10).astype(
        np.float32
    ), label


def points(count: int = 60, classes: int = 3) -> Points:
    feature, label = blobs(count, classes)
    return Points("MAE, cls", feature[:, :2], label, np.arange(count))


def test_tsne_keeps_classes_together():
    feature, label = blobs()
    place = TSNE(perplexity=10)(feature)
    assert place.shape == (60, 2)
    assert agreement(Points("", place, label, np.arange(60))) == 1


def test_the_seed_of_tsne_decides_the_picture(monkeypatch):
    # fewest it allows
    monkeypatch.setattr(embedding.manifold, "TSNE", partial(embedding.manifold.TSNE, max_iter=250))
    feature = (
        np.random.default_rng(0).normal(size=(510, 60)).astype(np.float32)
    )  # large enough for a start that is drawn
    first, again, other = (TSNE(perplexity=5, seed=seed)(feature) for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)


def test_fewer_images_than_neighbours_are_refused():
    with pytest.raises(
        ValueError, match=r"t-SNE got 20 images and perplexity=30; needs more images"
    ):
        TSNE()(blobs(20)[0])


def test_umap_where_it_is_not_installed_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(embedding.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"UMAP needs umap-learn: pip install -e '.\[umap\]'"):
        UMAP()


def test_umap_keeps_classes_together():
    pytest.importorskip("umap")
    feature, label = blobs()
    assert agreement(Points("", UMAP()(feature), label, np.arange(60))) > 0.9


def test_agreement_worked_by_hand():
    place = np.array([[0.0, 0], [1, 0], [5, 0], [6.5, 0]])  # neighbours: 0-1, 2-3
    assert agreement(Points("", place, np.array([0, 0, 1, 2]), np.arange(4))) == 0.5


def test_each_point_has_the_colour_of_its_class_and_each_class_its_name():
    known = points()
    figure = scatter([known], ["cat", "dog", "owl"])
    drawn = figure.axes[0].collections[0]
    assert len(drawn.get_offsets()) == 60
    label = {tuple(place): label for place, label in zip(known.place, known.label, strict=True)}
    pairs = {
        (label[tuple(place)], tuple(colour))
        for place, colour in zip(
            drawn.get_offsets().astype(np.float32), drawn.get_facecolors(), strict=True
        )
    }
    assert len(pairs) == len({one for one, _ in pairs}) == len({colour for _, colour in pairs}) == 3
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["cat", "dog", "owl"]


def test_images_without_labels_are_grey_and_have_no_legend():
    figure = scatter([points()._replace(label=np.full(60, -1))], [])
    assert len(np.unique(figure.axes[0].collections[0].get_facecolors(), axis=0)) == 1
    assert not figure.legends


def test_panels_stand_four_in_a_row():
    figure = scatter([points()] * 5, ["cat", "dog", "owl"])
    assert len([axis for axis in figure.axes if axis.get_title()]) == 5
    assert len(figure.axes) == 8


def test_the_file_holds_a_line_a_point(tmp_path):
    write([points(4)], ["cat", "dog", "owl"], tmp_path / "embedding.csv")
    with (tmp_path / "embedding.csv").open() as stream:
        lines = list(csv.DictReader(stream))
    assert [line["class"] for line in lines] == ["cat", "dog", "owl", "cat"]
    assert [line["image"] for line in lines] == ["0", "1", "2", "3"]
    assert float(lines[1]["y"]) == pytest.approx(points(4).place[1, 1], rel=1e-4)
    assert lines[0]["panel"] == "MAE, cls"
