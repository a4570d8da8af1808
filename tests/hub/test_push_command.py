"""`python -m mim push`: a folder that libraries load, a card that says where its numbers are from,
and one commit.
"""

import json

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from transformers import ViTMAEForPreTraining

import mim
from mim.__main__ import main


@pytest.fixture
def push(run, tmp_path, capsys):
    def pushed(*arguments, to="timm"):
        out = tmp_path / "out"
        where = ["--out", str(out), "--runs", str(tmp_path / "runs"), "--to", to]
        code = main(["push", str(run), "me/digits", *where, *arguments])
        return out, code, "".join(capsys.readouterr())

    return pushed


APACHE = ("--licence", "apache-2.0")


def test_a_dry_run_writes_what_timm_builds_the_same_encoder_of(push, run):
    out, code, said = push(*APACHE, "--dry-run")
    assert code == 0, said
    assert "not pushed" in said
    assert sorted(file.name for file in out.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    model = timm.create_model(f"local-dir:{out}", pretrained=True).eval()
    images = torch.randn(2, 3, 16, 16)
    ours = mim.load(run)
    with torch.no_grad():
        assert torch.allclose(model.forward_features(images), ours(images), atol=1e-5)
    shown = timm.data.resolve_data_config({}, model=model)
    assert [*shown["mean"], *shown["std"], shown["crop_pct"]] == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8]
    assert shown["interpolation"] == "bilinear"


def test_the_other_format_keeps_both_halves(push):
    out, code, said = push(*APACHE, "--dry-run", to="hf")
    assert code == 0, said
    model = ViTMAEForPreTraining.from_pretrained(out)
    assert model.decoder.decoder_layers[0] is not None
    assert 'ViTMAEForPreTraining.from_pretrained("me/digits")' in (out / "README.md").read_text()


def test_what_is_pushed_is_the_folder_in_one_commit(push, hub):
    out, code, said = push(*APACHE)
    assert code == 0, said
    assert hub.files == {file.name: file.read_bytes() for file in out.iterdir()}
    assert sum("/commit/" in path for path, _ in hub.asked) == 1
    assert {who for path, who in hub.asked if path.startswith("/api/repos")} == {"Bearer hf_secret"}
    assert f"http://127.0.0.1:{hub.server_port}/me/digits\n" in said
    assert (
        'timm.create_model("hf_hub:me/digits", pretrained=True)' in said
        or "timm:hf_hub:me/digits" in said
    )


def test_a_hub_that_refuses_is_one_line(push, hub):
    hub.closed = True
    _, code, said = push(*APACHE)
    assert code == 1
    assert not hub.files
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "me/digits was not pushed" in errors[0]
    assert "403" in errors[0]


def test_nobody_who_is_logged_in_is_said(push, hub, monkeypatch, tmp_path):
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "nothing"))
    _, code, said = push(*APACHE)
    assert code == 1
    assert "nobody is logged in to Hugging Face" in said
    assert not hub.asked


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((), "weights need a licence"),
        (("--licence", "My own\nlicence"), "is no licence as the hub abbreviates it"),
    ],
)
def test_a_licence_is_asked_for(push, given, words):
    out, code, said = push(*given, "--dry-run")
    assert code == 1
    assert words in said
    assert not out.exists()


def test_a_name_without_an_owner_is_refused(run, capsys):
    assert main(["push", str(run), "digits", *APACHE, "--dry-run"]) == 1
    assert "digits is no repository" in capsys.readouterr().err


def test_the_card_has_recipe_images_and_numbers_with_their_commands(push):
    out, code, said = push(*APACHE, "--dry-run")
    assert code == 0, said
    card = (out / "README.md").read_text()
    assert card.startswith("---\nlicense: apache-2.0\nlibrary_name: timm\n")
    assert "| masker | Masker(partition=FixedRatio(ratio=0.75)) |" in card
    assert "| epochs | 12 |" in card
    assert "| lr |" not in card  # not set
    assert "mean (0.1, 0.2, 0.3)" in card
    assert "Classes: cat, dog." in card
    assert "Made by `python train.py data=image_folder data.root=<photos> epochs=12`." in card
    assert "| wall time | 2.0 hours |" in card
    assert "| knn/top1 | 94.44 % | not computed | the training above |" in card
    assert (
        "| knn/top1 | 50.00 % | 45.0 to 55.0 | `python eval.py checkpoint=<this model> pool=cls` |"
        in card
    )
    assert "untrained" not in card
    assert "/home/me" not in card


def test_the_encoder_of_a_file_that_says_nothing_is_pushed_with_a_card_that_says_so(
    run, tmp_path, capsys
):
    file = tmp_path / "bare.safetensors"
    out = tmp_path / "out"
    assert main(["convert", str(run), str(file), "--to", "timm"]) == 0
    save_file(load_file(file), file)
    assert (
        main(
            [
                "push",
                str(file),
                "me/digits",
                *APACHE,
                "--dry-run",
                "--out",
                str(out),
                "--heads",
                "2",
            ]
        )
        == 0
    )
    card = (out / "README.md").read_text()
    assert "The file that was pushed does not say." in card
    assert "Not measured." in card
    assert json.loads((out / "config.json").read_text())["num_classes"] == 0
    assert load_file(out / "model.safetensors").keys() == load_file(file).keys()
