"""A frozen encoder gives the numbers of the original, for any number of pictures."""

import builtins

import onnxruntime
import pytest
import torch
from torch import nn

from mim.__main__ import main
from mim.encoder.beit import Beit
from mim.encoder.vit import ViT
from mim.geometry import Geometry
from mim.weights.export import export_encoder, pictures

ENCODERS = {
    "vit": lambda: ViT(16, 4, width=16, depth=1, heads=2),
    "beit": lambda: Beit((16, 24), 4, width=16, depth=1, heads=2),
}


@pytest.fixture(params=ENCODERS)
def encoder(request):
    torch.manual_seed(0)
    return ENCODERS[request.param]()


def close(a, b):
    return torch.allclose(torch.as_tensor(a), b, atol=1e-4 * b.abs().max().item())


def test_onnx_gives_the_same_numbers_for_any_number_of_pictures(encoder, tmp_path):
    line = export_encoder(encoder, tmp_path / "encoder.onnx", "onnx")
    assert line.startswith("differs from the original by at most ")
    session = onnxruntime.InferenceSession(tmp_path / "encoder.onnx")
    for count in (1, 4):
        image = pictures(count, tuple(4 * n for n in encoder.geometry.grid))
        assert close(session.run(["tokens"], {"image": image.numpy()})[0], encoder(image).detach())


def test_a_program_gives_the_same_numbers_for_any_number_of_pictures(encoder, tmp_path):
    export_encoder(encoder, tmp_path / "encoder.pt2", "program")
    program = torch.export.load(tmp_path / "encoder.pt2").module()
    for count in (1, 4):
        image = pictures(count, tuple(4 * n for n in encoder.geometry.grid))
        assert close(program(image), encoder(image).detach())


def test_the_pictures_are_real_and_differ():
    image = pictures(4, (32, 48))
    assert image.shape == (4, 3, 32, 48)
    assert image.std() > 0.5
    assert torch.pdist(image.flatten(1)).min() > 1


def test_a_file_with_other_numbers_is_not_kept(tmp_path, monkeypatch):
    class Noisy(nn.Module):
        geometry = Geometry.of(8, 4)

        def forward(self, image):
            return image + torch.rand(())

    with pytest.raises(ValueError, match=r"differs from the original by .* nothing is kept"):
        export_encoder(Noisy(), tmp_path / "noisy.pt2", "program")
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    really_import = builtins.__import__

    def without(name, *arguments, **more):
        if name == "onnxruntime":
            raise ModuleNotFoundError("No module named 'onnxruntime'", name="onnxruntime")
        return really_import(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(
        ValueError, match=r"--to onnx needs onnxruntime: pip install -e '.\[export\]'"
    ):
        export_encoder(ENCODERS["vit"](), tmp_path / "encoder.onnx", "onnx")


def test_the_command_reads_writes_checks_and_says_how_to_run(build_mae, save_run, tmp_path, capsys):
    command = [
        "export",
        str(save_run(build_mae())),
        str(tmp_path / "encoder.pt2"),
        "--to",
        "program",
    ]
    assert main(command) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        "read",
        "wrote",
        "run",
    ]
    assert main(command) == 1
    assert "exists already" in capsys.readouterr().err
    assert (
        main([*command[:2], str(tmp_path / "larger.pt2"), "--to", "program", "--image-size", "24"])
        == 0
    )
    assert "positions resized from 4 x 4 to 6 x 6" in capsys.readouterr().out
