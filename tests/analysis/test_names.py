import pytest

from mim.analysis.names import display_name, names_of_checkpoints, short_names, told_apart


def test_words_are_spelt_as_in_the_field():
    assert (
        display_name("simmim_beit_base_random_cell_cifar10")
        == "SimMIM BEiT base random cell CIFAR-10"
    )


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (
            "runs/mae_vit_pico_random_digits/2026-11-21_03-32-44-664515",
            "MAE ViT pico random digits",
        ),
        (
            "runs/mae_vit_pico_random_digits/2026-11-21_03-32-44-664515/checkpoints/last.ckpt",
            "MAE ViT pico random digits",
        ),
        ("weights/mae_pretrain_vit_base.pth", "MAE pretrain ViT base"),
        ("timm:vit_base_patch16_224.mae", "ViT base patch16 224.mae"),
        ("hf:facebook/vit-mae-base", "facebook/vit-mae-base"),
    ],
)
def test_a_checkpoint_is_called_by_what_it_is(source, name):
    assert short_names([source]) == [name]


def test_runs_of_one_name_are_told_apart_by_their_dates_and_others_keep_their_names():
    sources = [
        "runs/mae/2026-11-21_03-32-44",
        "runs/mae/2026-11-22_03-32-44",
        "runs/amt/2026-11-21_03-32-44",
    ]
    assert short_names(sources) == ["MAE / 2026-11-21 03-32-44", "MAE / 2026-11-22 03-32-44", "AMT"]


def test_files_of_one_name_are_told_apart_by_their_folders():
    assert short_names(["first/model.pth", "second/model.pth"]) == [
        "first / model",
        "second / model",
    ]


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["MAE ViT pico AMT digits", "MAE ViT pico EMAE digits"], ["AMT", "EMAE"]),
        (["MAE ViT", "MAE ViT AMT"], ["MAE ViT", "MAE ViT AMT"]),
        (["epoch 0015", "epoch 0030"], ["epoch 0015", "epoch 0030"]),
        (["MAE ViT"], ["MAE ViT"]),
    ],
)
def test_words_that_all_names_share_are_left_out_where_others_tell_them_apart(names, told):
    assert told_apart(names) == told


def test_names_that_are_given_are_kept():
    assert names_of_checkpoints(["MAE", "DINO"], ["a", "b"]) == ["MAE", "DINO"]


@pytest.mark.parametrize("names", [["MAE"], ["MAE", "MAE"], ["MAE", "DINO", "AMT"]])
def test_another_number_of_names_is_refused(names):
    with pytest.raises(ValueError, match=r"for 2 checkpoint\(s\); give each one a name of its own"):
        names_of_checkpoints(names, ["a", "b"])


def test_a_checkpoint_given_twice_is_refused():
    with pytest.raises(ValueError, match="checkpoint= names a twice; give each checkpoint once"):
        names_of_checkpoints(None, ["a", "b", "a"])
