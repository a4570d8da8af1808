import pytest

from mim.figure.ratio import HEADER, Point, global_pimr, pimr, ratio_figure
from mim.figure.runs import find_runs
from mim.figure.series import sorted_into_series


def curve(**by_ratio):
    return {
        float(ratio[1:]) / 100: Point(value, value, value, 1) for ratio, value in by_ratio.items()
    }


@pytest.fixture
def drawn(run_folder, tmp_path):
    """Two maskers at three ratios, random twice at the highest."""
    for masker, ratio, seed, top1 in [
        ("random", 0.4, 0, 0.60),
        ("random", 0.6, 0, 0.64),
        ("random", 0.8, 0, 0.50),
        ("random", 0.8, 1, 0.54),
        ("salience", 0.4, 0, 0.62),
        ("salience", 0.8, 0, 0.70),
        ("salience", 0.9, 0, 0.71),
    ]:
        run_folder(
            f"sweep/{masker}_{ratio}_{seed}", masker, ratio, seed, metrics={"knn/top1": top1}
        )
    runs = find_runs([tmp_path / "sweep"])
    return ratio_figure(sorted_into_series(runs, lambda run: run.mask_ratio()[0]), "knn/top1")


def test_pimr_is_the_gain_over_the_lowest_ratio_and_the_global_one_its_mean():
    """Worked example: 60 % at 0.4, 64 % at 0.6, 50 % at 0.8 gain +4 and -10 points, -3 on the
    mean.
    """
    measured = curve(r40=0.60, r60=0.64, r80=0.50)
    assert pimr(measured, 0.4) == pytest.approx({0.6: 0.04, 0.8: -0.10})
    assert global_pimr(measured, [0.4, 0.6, 0.8]) == pytest.approx(-0.03)


def test_a_constant_added_to_all_accuracies_changes_no_gain():
    low, high = curve(r40=0.2, r60=0.3, r80=0.25), curve(r40=0.7, r60=0.8, r80=0.75)
    assert pimr(low, 0.4) == pytest.approx(pimr(high, 0.4))


def test_the_table_has_every_series_and_ratio_with_the_mean_over_seeds(drawn):
    rows = [dict(zip(HEADER, row, strict=True)) for row in drawn.rows]
    assert [(row["series"], row["ratio"], row["runs"]) for row in rows] == [
        ("random", 0.4, 1),
        ("random", 0.6, 1),
        ("random", 0.8, 2),
        ("salience", 0.4, 1),
        ("salience", 0.8, 1),
        ("salience", 0.9, 1),
    ]
    assert [row["mean"] for row in rows] == pytest.approx([0.60, 0.64, 0.52, 0.62, 0.70, 0.71])
    assert (rows[2]["low"], rows[2]["high"]) == (0.50, 0.54)
    assert [row["pimr"] for row in rows] == [
        None,
        *map(pytest.approx, (0.04, -0.08)),
        None,
        *map(pytest.approx, (0.08, 0.09)),
    ]


def test_the_global_pimr_is_over_the_ratios_that_all_series_share(drawn):
    rows = [dict(zip(HEADER, row, strict=True)) for row in drawn.rows]
    assert {(row["series"], round(row["global_pimr"], 9)) for row in rows} == {
        ("random", -0.08),
        ("salience", 0.08),
    }
    assert "masking ratios 0.4, 0.8 of 7 runs: random, salience" in drawn.what


def test_the_definition_stands_beside_the_figure_and_panels_hold_the_numbers(drawn):
    assert drawn.figure.get_supxlabel() == (
        "PIMR(r) = accuracy(r) − accuracy(0.4); Global PIMR = its mean over r = 0.8; bands: lowest "
        "to highest seed"
    )
    accuracy, gain, mean = drawn.figure.axes
    assert list(accuracy.get_lines()[0].get_ydata()) == pytest.approx([60, 64, 52])
    assert list(gain.get_lines()[0].get_ydata()) == pytest.approx([0, 4, -8])
    assert [bar.get_height() for bar in mean.patches] == pytest.approx([-8, 8])
    assert [text.get_text() for text in mean.texts] == ["−8.0", "+8.0"]


def test_series_that_share_no_two_ratios_are_refused(run_folder):
    folders = [
        run_folder("a", "random", 0.4, metrics={"knn/top1": 0.5}),
        run_folder("b", "random", 0.6, metrics={"knn/top1": 0.5}),
        run_folder("c", "salience", 0.4, metrics={"knn/top1": 0.5}),
    ]
    series = sorted_into_series(find_runs(folders), lambda run: run.mask_ratio()[0])
    with pytest.raises(
        ValueError, match=r"needs two masking ratios .*: random 0.4, 0.6; salience 0.4$"
    ):
        ratio_figure(series, "knn/top1")
