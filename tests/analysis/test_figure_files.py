from matplotlib.figure import Figure

from mim.analysis.figure_files import save_figure


def drawn() -> Figure:
    figure = Figure(figsize=(1, 1))
    figure.subplots().set_title("a")
    return figure


def test_a_figure_is_kept_to_look_at_and_to_print_and_is_the_same_each_time(tmp_path):
    for name in ("first", "second"):
        assert save_figure(drawn(), tmp_path, name) == tmp_path / f"{name}.png"
    first, second = ((tmp_path / f"{name}.pdf").read_bytes() for name in ("first", "second"))
    assert first == second
    assert b"/Subtype /Type3" not in first
    assert (tmp_path / "first.png").read_bytes().startswith(b"\x89PNG")
