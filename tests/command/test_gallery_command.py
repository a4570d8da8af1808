import json

import pytest

from mim.__main__ import main


@pytest.fixture
def gallery(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MIM_RUNS", str(tmp_path))

    def run(*settings, options=()):
        code = main(["gallery", *options, "images=200", "pictures=3", *settings])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_it_draws_and_counts_every_masker_that_is_asked_for(gallery, tmp_path):
    names = ["random", "sbm", "amt", "mst", "scheduled"]
    code, out, err = gallery(f"masker={','.join(names)}")
    assert code == 0, err
    (folder,) = tmp_path.glob("gallery/*")
    assert (folder / "gallery.png").stat().st_size > 10_000
    numbers = json.loads((folder / "gallery.json").read_text())
    assert list(numbers) == names
    assert all(name in out for name in names)
    assert numbers["random"]["attention"]["in_upper_half"] == pytest.approx(0.5, abs=0.02)
    assert (
        numbers["amt"]["attention"]["in_upper_half"]
        > 0.55
        > 0.45
        > numbers["mst"]["attention"]["in_upper_half"]
    )
    assert numbers["amt"]["salience"]["thrown"] == pytest.approx(6 / 16)
    assert numbers["scheduled"] == numbers["amt"]


def test_it_has_a_choice_of_maskers_that_goes_with_its_images_and_encoder(gallery):
    code, out, err = gallery("images=20")
    assert code == 0, err
    assert all(name in out for name in ("random", "sbm", "sbam", "am", "amt"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["masker=random,none"], "masker=none is not a choice; allowed: am, amt"),
        (["pictures=0"], "pictures=0, images=200; both need a whole number above 0"),
        (["checkpoint=nowhere"], "there is no nowhere; give "),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_line(gallery, tmp_path, settings, message):
    code, _, err = gallery(*settings)
    assert code == 1
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_masker_of_a_folder_of_ones_own_is_drawn(gallery, tmp_path):
    own = tmp_path / "own" / "masker"
    own.mkdir(parents=True)
    (own / "mine.yaml").write_text("defaults: [block]\n")
    code, out, err = gallery("masker=mine", options=("--config-dir", str(own.parent)))
    assert code == 0, err
    assert "mine" in out


def test_a_folder_of_ones_own_that_is_not_there_is_named(gallery):
    code, _, err = gallery("masker=mine", options=("--config-dir", "nowhere"))
    assert code == 1
    assert err == "error: --config-dir nowhere is no folder; give one laid out as configs/ is\n"
