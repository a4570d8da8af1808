import pytest

from mim.figure.epochs import HEADER, epochs_figure
from mim.figure.runs import find_runs
from mim.figure.series import sorted_into_series

LOSS = [(0, 1.0), (0, 0.8), (1, 0.6), (2, 0.4)]  # two of the first epoch


@pytest.fixture
def series(run_folder):
    def sort(*folders):
        return sorted_into_series(find_runs(folders), lambda run: None)

    return sort


def rows_of(drawn, metric):
    return [tuple(row[2:]) for row in drawn.rows if row[HEADER.index("metric")] == metric]


def test_numbers_are_those_of_metrics_csv_after_each_epoch(run_folder, series):
    metrics = {"knn/top1": 0.7, "knn/top1_untrained": 0.3}
    folder = run_folder(
        "a", metrics=metrics, columns={"train/loss": LOSS, "knn/top1": [(0, 0.5), (2, 0.7)]}
    )
    drawn = epochs_figure(series(folder), ["knn/top1", "train/loss"])
    assert rows_of(drawn, "knn/top1") == [
        (0, 1, 0.3, 0.3, 0.3),
        (1, 1, 0.5, 0.5, 0.5),
        (3, 1, 0.7, 0.7, 0.7),
    ]
    assert [row[0] for row in rows_of(drawn, "train/loss")] == [1, 2, 3]
    assert [row[2] for row in rows_of(drawn, "train/loss")] == pytest.approx([0.9, 0.6, 0.4])
    accuracy, loss = drawn.figure.axes
    assert [*accuracy.get_lines()[0].get_ydata()] == pytest.approx([30, 50, 70])
    assert [*loss.get_lines()[0].get_ydata()] == pytest.approx([0.9, 0.6, 0.4])
    assert drawn.what == "knn/top1 and train/loss over epochs of 1 run: MAE ViT pico random digits"


def test_seeds_are_a_mean_and_a_band_over_the_epochs_that_all_have(run_folder, series):
    first = run_folder("a", columns={"train/loss": LOSS})
    second = run_folder("b", seed=1, columns={"train/loss": [(0, 0.5), (1, 0.2)]})
    drawn = epochs_figure(series(first, second), ["train/loss"])
    assert rows_of(drawn, "train/loss") == [
        (1, 2, pytest.approx(0.7), 0.5, pytest.approx(0.9)),
        (2, 2, pytest.approx(0.4), 0.2, pytest.approx(0.6)),
    ]


def test_each_series_is_a_line_that_the_legend_names(run_folder, series):
    folders = [
        run_folder(name, masker, columns={"train/loss": LOSS})
        for name, masker in (("a", "random"), ("b", "sbm"))
    ]
    drawn = epochs_figure(series(*folders), ["train/loss"])
    assert [text.get_text() for text in drawn.figure.legends[0].get_texts()] == ["random", "SBM"]
    first, second = drawn.figure.axes[0].get_lines()
    assert first.get_color() != second.get_color()
    assert first.get_marker() != second.get_marker()


def test_a_column_that_a_run_lacks_is_refused_with_those_that_it_has(run_folder, series):
    folder = run_folder("a", columns={"train/loss": LOSS, "lr": [(0, 0.1)]})
    with pytest.raises(ValueError, match=r"a has no val/top1 over epochs; it has lr, train/loss$"):
        epochs_figure(series(folder), ["val/top1"])


def test_a_run_without_metrics_csv_is_refused(run_folder, series):
    with pytest.raises(
        ValueError, match=r"has no metrics\.csv; curves need a training with logger=csv"
    ):
        epochs_figure(series(run_folder("a")), ["train/loss"])


def test_seeds_without_a_common_epoch_are_refused(run_folder, series):
    folders = [
        run_folder("a", columns={"train/loss": [(0, 1.0)]}),
        run_folder("b", seed=1, columns={"train/loss": [(1, 1.0)]}),
    ]
    with pytest.raises(ValueError, match="have no epoch in common"):
        epochs_figure(series(*folders), ["train/loss"])
