"""A run of an MAE, what it measured, and a stand-in of the hub."""

import base64
import json
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
import torch

from mim.encoder.vit import ViT
from mim.image_format import ImageFormat
from mim.masker.masker import Masker
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.score.random import Random
from mim.model.decoder import Decoder
from mim.model.mae import MAE

VIT = {"image_size": 16, "patch_size": 4, "width": 16, "depth": 2, "heads": 2}
CONFIG = {
    "encoder": {"_target_": "mim.encoder.vit.ViT", **VIT},
    "model": {"decoder": {"heads": 2}},
    "masker": {
        "_target_": "mim.masker.masker.Masker",
        "partition": {"_target_": "mim.masker.partition.fixed_ratio.FixedRatio", "ratio": 0.75},
    },
    "data": {
        "_target_": "mim.data.image_folder.ImageFolder",
        "root": "/home/me/photos",
        "image_size": 16,
    },
    "epochs": 12,
    "base_lr": 0.003,
    "lr": None,
}
RESULTS = {
    "status": "finished",
    "program": "train.py",
    "overrides": ["data=image_folder", "data.root=/home/me/photos", "epochs=12"],
    "metrics": {"knn/top1": 0.9444, "knn/top1_untrained": 0.6},
    "wall_seconds": 7200,
    "hardware": "2 cores of a processor",
    "commit": "0123456789ab",
}


@pytest.fixture
def run(tmp_path):
    """Folder of a run, beside which an evaluation of it lies."""
    torch.manual_seed(0)
    masker = Masker(Random(), FixedRatio(0.75))
    model = MAE(ViT(**VIT), masker, partial(Decoder, width=8, depth=1, heads=2), {"pixel": 48})
    folder = tmp_path / "runs" / "mae" / "today"
    (folder / "checkpoints").mkdir(parents=True)
    names = {f"model.{name}": value for name, value in model.state_dict().items()}
    images = ImageFormat(
        (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 1.25, "bilinear", ("cat", "dog")
    ).to_plain()
    torch.save(
        {"state_dict": names, "config": CONFIG, "images": images},
        folder / "checkpoints" / "last.ckpt",
    )
    (folder / "results.json").write_text(json.dumps(RESULTS))
    judged = tmp_path / "runs" / "eval_knn" / "later"
    judged.mkdir(parents=True)
    said = {
        "program": "eval.py",
        "overrides": [f"checkpoint={folder}", "pool=cls"],
        "task": "knn",
        "knn/top1": 0.5,
        "knn/top1_interval": [0.45, 0.55],
    }
    (judged / "results.json").write_text(json.dumps(said))
    return folder


class Hub(ThreadingHTTPServer):
    """Stand-in of the hub: what is asked of it in pushing a folder of small files, and what it then
    holds.
    """

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Answers)
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.closed = False


class _Answers(BaseHTTPRequestHandler):
    server: Hub

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.path, self.headers["Authorization"]))
        if self.server.closed:
            return self._say({"error": "this namespace is not yours"}, 403)
        where = f"http://127.0.0.1:{self.server.server_port}/me/digits"
        if self.path == "/api/repos/create":
            return self._say({"url": where, **json.loads(body)})
        if self.path == "/api/validate-yaml":
            return self._say({"errors": [], "warnings": []})
        if "/preupload/" in self.path:
            names = [file["path"] for file in json.loads(body)["files"]]
            said = [
                {"path": name, "uploadMode": "regular", "shouldIgnore": False, "oid": None}
                for name in names
            ]
            return self._say({"files": said})
        assert "/commit/" in self.path, self.path
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                self.server.files[line["value"]["path"]] = base64.b64decode(
                    line["value"]["content"]
                )
        return self._say({"success": True, "commitUrl": f"{where}/commit/abc", "commitOid": "abc"})

    def do_GET(self):
        self._say({"error": "there is no such repository"}, 404)

    def _say(self, content, status=200):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    def log_message(self, *words):
        pass


@pytest.fixture
def hub(monkeypatch):
    """A hub on this computer, and somebody who is logged in to it."""
    server = Hub()
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    yield server
    server.shutdown()
    server.server_close()
