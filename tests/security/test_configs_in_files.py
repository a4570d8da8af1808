"""What a config inside a checkpoint may say: settings of our own classes. Everything else is
refused in one line.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mim.command import evaluate as eval_command
from mim.encoder.vit import ViT
from mim.launch.entry import launch
from mim.plain import plain
from mim.weights.build import build_encoder
from mim.weights.classifier import open_classifier
from mim.weights.load import open_encoder
from mim.weights.own_data import data_of_run
from mim.weights.read import read_weights
from mim.weights.settings import DATA, ENCODER, NESTED, POOL, build, public_classes
from mim.weights.weights import Weights
from tests.security.files import CONFIG, SIZES, WRITERS, changed, tensors, write_ckpt

ROOT = Path(__file__).parents[2]
PATHS = {"data": "data", "runs": "runs", "cache": "cache", "run": "run"}


def command(trap: Path) -> dict[str, Any]:
    return {"_target_": "torch.utils.collect_env.run", "command": f"touch {trap}"}


def reference(trap: Path) -> str:
    return f"${{oc.create:{{_target_: torch.utils.collect_env.run, command: 'touch {trap}'}}}}"


TENSORS = tensors()


def judge(source: Path) -> None:
    """All that eval.py and the commands read of a checkpoint's config, in their order."""
    weights = read_weights(source)
    data_of_run(weights, {}, PATHS, ROOT / "configs")
    build_encoder(weights)
    open_classifier(weights)


def leaves(node: Any, path: str = "") -> list[str]:
    """Paths of everything in a config."""
    if isinstance(node, dict | list):
        items = node.items() if isinstance(node, dict) else enumerate(node)
        below = [
            leaf
            for key, value in items
            for leaf in leaves(value, f"{path}.{key}" if path else str(key))
        ]
        return [*([path] if path else []), *below]
    return [path]


def refusal_of(act: Callable[[], Any]) -> str | None:
    """The line of a refusal, or None where there is none; other errors are ours."""
    try:
        act()
    except ValueError as refusal:
        return str(refusal)
    return None


def refused(source: Path) -> str:
    with pytest.raises(ValueError) as refusal:  # noqa: PT011 (each line is looked at by who asks for it)
        judge(source)
    line = str(refusal.value)
    assert "\n" not in line
    assert len(line) < 1000
    return line


@pytest.mark.parametrize("kind", WRITERS)
def test_an_honest_config_is_read(kind, tmp_path):
    judge(WRITERS[kind](tmp_path, CONFIG))


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("path", leaves(CONFIG))
def test_a_reference_is_refused_wherever_it_stands(kind, path, tmp_path, trap):
    line = refused(WRITERS[kind](tmp_path, changed(path, reference(trap))))
    assert "a reference; nothing that a file says is looked up or called" in line
    assert not trap.exists()


@pytest.mark.parametrize(
    "path",
    [path for path in leaves(CONFIG) if path.partition(".")[0] in ("encoder", "data", "pool")],
)
def test_a_class_of_others_is_built_nowhere(path, tmp_path, trap):
    refused(write_ckpt(tmp_path, changed(path, command(trap))))
    assert not trap.exists()


@pytest.mark.parametrize(
    "path", ["encoder", "data", "data.augment", "data.augment.boxes", "pool.abmilp"]
)
@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "torch.utils.collect_env.run",
        "builtins.exec",
        "hydra.utils.instantiate",
        "hydra._internal.instantiate._instantiate2.instantiate",
        "mim.encoder.vit.torch.load",
        "mim.data.digits.load_digits",
        "mim.data.tiny_imagenet.shutil.rmtree",
        "mim.pool.oracle.Oracle",
        "mim.pool.shared.Summed",
        "mim.weights.load.encoder_of",
        "mim.data.module.Data",
        "mim.data.decode.decode",
        "mim.augment.pictures.Cropped.__init__",
        "mim.encoder.vit._ViT",
        "mim.encoder.vit",
        "",
        "..",
        "mim.encoder.vit.ViT\n",
        None,
        7,
        ["mim.encoder.vit.ViT"],
    ],
)
def test_a_name_is_looked_up_in_a_closed_list(path, target, tmp_path):
    refused(write_ckpt(tmp_path, changed(f"{path}._target_", target)))


@pytest.mark.parametrize(
    "path", ["encoder", "data", "data.augment", "data.augment.boxes", "pool.abmilp"]
)
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("_args_", [1]),
        ("_recursive_", False),
        ("_convert_", "object"),
        ("_partial_", "yes"),
        ("_partial_", 1),
        ("anything", 1),
        ("self", 1),
        ("__class__", "os"),
    ],
)
def test_hydras_own_keys_are_taken_only_where_our_configs_have_them(path, key, value, tmp_path):
    refused(write_ckpt(tmp_path, changed(f"{path}.{key}", value)))


@pytest.mark.parametrize(
    ("path", "value"),
    [("encoder._partial_", True), ("data._partial_", True), ("pool.abmilp._partial_", False)],
)
def test_arguments_are_left_open_by_pools_alone(path, value, tmp_path):
    refused(write_ckpt(tmp_path, changed(path, value)))


@pytest.mark.parametrize("own", [None, "mim.encoder.vit.ViT", "of_the_user.Mine"])
def test_a_file_imports_nothing_and_names_only_what_the_command_line_names(
    own, tmp_path, trap, monkeypatch
):
    """A module of somebody's is on the path; a file that names it does not make it be imported."""
    (tmp_path / "from_a_file.py").write_text(
        f"open({str(trap)!r}, 'w')\nfrom mim.encoder.vit import ViT as Trap\n"
    )
    (tmp_path / "of_the_user.py").write_text("from mim.encoder.vit import ViT as Mine\n")
    monkeypatch.syspath_prepend(tmp_path)
    file = write_ckpt(tmp_path, changed("encoder._target_", "from_a_file.Trap"))
    weights = read_weights(file)._replace(own_encoder=own)
    with pytest.raises(
        ValueError, match=r"wants to build from_a_file\.Trap; only what mim\.encoder\.\* defines"
    ):
        build_encoder(weights)
    assert not trap.exists()
    assert "from_a_file" not in sys.modules


def test_what_the_command_line_names_is_built_as_the_file_says_and_within_its_bounds(
    tmp_path, monkeypatch
):
    (tmp_path / "my_module.py").write_text(
        "from mim.encoder.vit import ViT\n"
        "class Mine(ViT):\n"
        "    def __init__(self, image_size: int, patch_size: int, width: int, depth: int, heads: "
        "int):\n"
        "        super().__init__(image_size, patch_size, width, depth, heads)\n"
        "class Nothing: pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    mine = {"_target_": "my_module.Mine"} | {
        name: value for name, value in CONFIG["encoder"].items() if name in SIZES
    }
    weights = read_weights(write_ckpt(tmp_path, CONFIG | {"encoder": mine}))._replace(
        own_encoder="my_module.Mine"
    )
    assert type(build_encoder(weights)).__name__ == "Mine"
    for changes, words in (
        ({"width": "wide"}, "width"),
        ({"image_size": 10**6}, "out of bounds"),
        ({"image_size": 4096, "patch_size": 1}, "patches of an image"),
        ({"anything": 1}, "no setting of Mine"),
        ({"_target_": "my_module.Nothing"}, "wants to build my_module.Nothing"),
    ):
        with pytest.raises(ValueError, match=words):
            build_encoder(weights._replace(config={"encoder": mine | changes}))
    for named, words in (
        ("my_module.Nothing", "has no embed and no encode"),
        ("my_module.Absent", "cannot be imported"),
    ):
        config = {"encoder": mine | {"_target_": named}}
        with pytest.raises(ValueError, match=words):
            build_encoder(weights._replace(config=config, own_encoder=named))


HUGE = [
    10**5,
    10**7,
    10**12,
    2**70,
    -1,
    0,
    True,
    1.5,
    float("nan"),
    float("inf"),
    "lots",
    [],
    {},
    None,
    b"1",
    1j,
]


@pytest.mark.parametrize(
    "path", [f"encoder.{name}" for name in SIZES] + ["encoder.mlp_ratio", "pool.abmilp.depth"]
)
@pytest.mark.parametrize("value", HUGE)
def test_sizes_are_bounded_before_anything_is_allocated(path, value, tmp_path):
    refused(write_ckpt(tmp_path, changed(path, value)))


@pytest.mark.parametrize("path", [path for path in leaves(CONFIG) if not path.endswith("seed")])
@pytest.mark.parametrize("value", [torch.zeros(3), {1, 2}, b"bytes", 3 + 4j, object])
def test_what_is_no_plain_data_is_refused(path, value):
    with pytest.raises(ValueError, match=r"file: config\S* (is a|has a)"):
        plain(changed(path, value), "file")


def test_a_deep_or_endless_config_is_refused():
    deep: list[Any] = []
    for _ in range(10**5):
        deep = [deep]
    endless: dict[str, Any] = {}
    endless["again"] = endless
    wide = [[0] * 10] * 10**6
    for config in (deep, endless, wide, "x" * 10**6):
        with pytest.raises(ValueError, match=r"nested deeper|a text of"):
            plain(config, "file")


words = st.text(max_size=20) | st.sampled_from(
    ["_target_", "_args_", "_partial_", "${", "${oc.env:HOME}", "${hydra:}", "???"]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | words | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=12,
)


@given(path=st.sampled_from(leaves(CONFIG)), value=values)
def test_any_change_of_a_config_is_read_or_refused_in_a_line(path, value):
    def read_all() -> None:
        config = plain(changed(path, value), "file")
        weights = Weights(
            {name.removeprefix("model."): value for name, value in TENSORS.items()}, "file", config
        )
        data_of_run(weights, {}, PATHS, ROOT / "configs")
        open_classifier(weights)

    line = refusal_of(read_all)
    assert line is None or ("\n" not in line and len(line) < 1000)


@pytest.mark.parametrize("kind", [ENCODER, DATA, POOL, *NESTED.values()], ids=str)
def test_every_class_of_the_closed_list_is_built_or_refused(kind):
    assert public_classes(kind)
    for target in public_classes(kind):
        settings = {"_target_": target, **(SIZES if kind is ENCODER else {})}
        line = refusal_of(lambda settings=settings: build(settings, kind, "file", "node"))
        assert line is None or "\n" not in line


def test_an_error_line_shows_no_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("TOKEN", "a-secret")
    for path in leaves(CONFIG):
        assert "a-secret" not in refused(write_ckpt(tmp_path, changed(path, "${oc.env:TOKEN}")))


@pytest.mark.parametrize(
    "path", ["data.augment", "seed", "pool", "data.augment.boxes.scale", "encoder.width"]
)
def test_judging_at_the_command_line_runs_nothing(
    path, tmp_path, trap, capfd, monkeypatch, signals
):
    monkeypatch.setenv("MIM_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("MIM_TRACEBACK", "0")
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    file = write_ckpt(tmp_path, changed(path, reference(trap)))
    monkeypatch.setattr(sys, "argv", ["eval.py", f"checkpoint={file}", "evaluate=knn"])
    with pytest.raises(SystemExit) as stop:
        launch(eval_command.evaluate, ROOT / "configs", "eval")
    assert stop.value.code == 1
    assert capfd.readouterr().err.count("\n") == 1
    assert not trap.exists()


def test_a_file_chooses_neither_folder_nor_processes(tmp_path):
    folder = {"_target_": "mim.data.image_folder.ImageFolder", "root": "/usr", "num_workers": 64}
    config = changed("data", CONFIG["data"] | folder)
    assert "trained on data=image_folder in /usr, which is not the folder" in refused(
        write_ckpt(tmp_path, config)
    )
    weights = read_weights(write_ckpt(tmp_path, config))
    taken = data_of_run(weights, {"root": "/pictures"}, PATHS, ROOT / "configs")
    assert (taken["root"], taken["num_workers"]) == ("/pictures", None)
    shards = {"_target_": "mim.data.webdataset.WebDataset", "root": "data", "cache": "/elsewhere"}
    for pattern in ("/etc/*.tar", "../*.tar"):
        refused(write_ckpt(tmp_path, changed("data", CONFIG["data"] | shards | {"train": pattern})))
    weights = read_weights(write_ckpt(tmp_path, changed("data", CONFIG["data"] | shards)))
    assert data_of_run(weights, {}, PATHS, ROOT / "configs")["cache"] == "cache"


def test_a_file_chooses_no_table_and_no_data_set_of_the_hub(tmp_path):
    def of(kind, **settings):
        node = {"_target_": f"mim.data.{kind}", **settings}
        kept = {key: CONFIG["data"][key] for key in ("augment", "image_size", "batch_size")}
        return read_weights(write_ckpt(tmp_path, changed("data", kept | node)))

    def taken(weights, **typed):
        return data_of_run(weights, typed, PATHS, ROOT / "configs")

    hub = of("hf.HF", name="somebody/pictures")
    with pytest.raises(
        ValueError, match=r"data=hf in somebody/pictures, which is not set here; .*\+data\.name="
    ):
        taken(hub)
    assert taken(hub, name="/my/set")["name"] == "/my/set"
    listed = of("csv.Csv", root="/usr", table="/etc/labels.csv")
    with pytest.raises(ValueError, match=r"data=csv in /usr, which is not set here"):
        taken(listed)
    with pytest.raises(ValueError, match=r"looks for /etc/labels\.csv, outside of its folder"):
        taken(listed, root="/my")
    assert taken(listed, table="/my/labels.csv")["table"] == "/my/labels.csv"
    inside = taken(of("csv.Csv", table="labels.csv"), root="/my")
    assert (inside["root"], inside["table"]) == ("/my", "labels.csv")


def test_sizes_are_those_of_the_tensors(tmp_path):
    file = write_ckpt(tmp_path, changed("encoder.depth", 3))
    with pytest.raises(ValueError, match=r"its config says encoder.depth=3, its tensors 1"):
        open_encoder(file)
    assert isinstance(open_encoder(write_ckpt(tmp_path, CONFIG))[0], ViT)


def test_jitter_is_four_numbers_of_views_and_a_class_of_scenes():
    views = {
        "_target_": "mim.augment.multi_crop.MultiCrop",
        "local_crops": 0,
        "jitter": [0.1, 0.2, 0.3, 0.0],
    }
    assert (
        build(views, NESTED["augment"], "run.ckpt", "augment").views[0].colours.jitter.saturation
        == 0.3
    )
    with pytest.raises(ValueError, match="jitter"):
        build(
            views | {"jitter": {"_target_": "os.system"}}, NESTED["augment"], "run.ckpt", "augment"
        )
