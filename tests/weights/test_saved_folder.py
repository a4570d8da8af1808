"""Folders that transformers saved: in one file or several, with an index that may be anybody's."""

import json
import pickle

import pytest
import torch
from safetensors.torch import save_file

from mim.encoder.vit import ViT
from mim.weights.load import open_encoder
from mim.weights.read import read_weights

SIZES = {"image_size": 16, "patch_size": 4, "width": 16, "depth": 2, "heads": 2}


def weights():
    torch.manual_seed(0)
    return {name: torch.randn_like(value) for name, value in ViT(**SIZES).state_dict().items()}


def sharded(folder, suffix, changes=()):
    """Two files with an index, as transformers names them."""
    tensors = weights()
    stem = "model" if suffix == "safetensors" else "pytorch_model"
    save = save_file if suffix == "safetensors" else torch.save
    where = {}
    for number, names in enumerate((list(tensors)[:7], list(tensors)[7:]), start=1):
        part = f"{stem}-0000{number}-of-00002.{suffix}"
        save({name: tensors[name] for name in names}, folder / part)
        where |= dict.fromkeys(names, part)
    (folder / f"{stem}.{suffix}.index.json").write_text(
        json.dumps({"weight_map": where | dict(changes)})
    )
    (folder / "config.json").write_text(json.dumps({"num_attention_heads": 2}))
    return folder


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_shards_with_an_index_are_read_whole(tmp_path, suffix):
    encoder, line = open_encoder(sharded(tmp_path, suffix))
    assert all(torch.equal(value, weights()[name]) for name, value in encoder.state_dict().items())
    assert f"encoder {len(weights())} of" in line
    (index,) = tmp_path.glob("*.index.json")
    assert open_encoder(index)[1].endswith(line.partition(": ")[2])


def test_one_file_of_torch_is_read_and_says_its_heads(tmp_path):
    torch.save(weights(), tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text(json.dumps({"num_attention_heads": 2}))
    encoder, _ = open_encoder(tmp_path)
    assert encoder.heads == 2
    assert torch.equal(encoder.cls_token, weights()["cls_token"])


def test_a_local_folder_may_be_called_hugging_faces(tmp_path):
    encoder, line = open_encoder(f"hf:{sharded(tmp_path, 'safetensors')}")
    assert line.startswith(f"hf:{tmp_path}")
    assert encoder.depth == 2


@pytest.mark.parametrize("part", ["../x.bin", "/etc/passwd", "a/b.bin", "", "..", 3, ["x"]])
def test_an_index_opens_files_beside_it_alone(tmp_path, part):
    folder = sharded(tmp_path, "bin", {"norm.weight": part})
    with pytest.raises(ValueError, match=r"index\.json") as refusal:
        read_weights(folder)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("content", [{}, [], {"weight_map": {}}, {"weight_map": ["x"]}])
def test_what_is_no_index_is_refused(tmp_path, content):
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="is no index of weights"):
        read_weights(tmp_path)


def test_a_shard_without_what_its_index_says_is_refused(tmp_path):
    folder = sharded(tmp_path, "safetensors", {"norm.extra": "model-00001-of-00002.safetensors"})
    with pytest.raises(ValueError, match=r"00001-of-00002\.safetensors lacks norm\.extra"):
        read_weights(folder)


def test_a_shard_that_is_not_there_is_named(tmp_path):
    folder = sharded(tmp_path, "safetensors")
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"00002-of-00002\.safetensors is not there, and"):
        read_weights(folder)


def test_more_files_than_anybody_writes_are_not_opened(tmp_path):
    folder = sharded(tmp_path, "bin", {f"x{number}": f"{number}.bin" for number in range(1001)})
    with pytest.raises(ValueError, match="names 1,003 files; at most 1,000"):
        read_weights(folder)


class Malice:
    def __reduce__(self):
        return (print, ("this must never be printed",))


def test_a_shard_runs_no_code(tmp_path, capsys):
    folder = sharded(tmp_path, "bin")
    (folder / "pytorch_model-00002-of-00002.bin").write_bytes(pickle.dumps({"x": Malice()}))
    with pytest.raises(ValueError, match=r"00002-of-00002\.bin"):
        read_weights(folder)
    assert "never" not in capsys.readouterr().out


def test_of_a_repository_whatever_it_has_is_downloaded(tmp_path, monkeypatch):
    from huggingface_hub.errors import EntryNotFoundError

    asked = []

    def download(repository, name):
        asked.append(name)
        if not (tmp_path / name).exists():
            raise EntryNotFoundError(name)
        return str(tmp_path / name)

    sharded(tmp_path, "bin")
    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    encoder, _ = open_encoder("hf:somebody/vit")
    assert torch.equal(encoder.cls_token, weights()["cls_token"])
    assert [name for name in asked if name.startswith("pytorch_model-")] == [
        "pytorch_model-00001-of-00002.bin",
        "pytorch_model-00002-of-00002.bin",
    ]
