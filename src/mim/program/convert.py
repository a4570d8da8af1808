"""Write the weights of any checkpoint in another format.

    python -m mim convert runs/<name>/<date_time> encoder.safetensors --to timm
    python -m mim convert mae_pretrain_vit_base.pth vit_mae --to hf

timm         an encoder for timm.create_model(..., checkpoint_path=...)
mae          the names of the official MAE, both halves, as a .pth file
hf           a folder for transformers' ViTMAEForPreTraining.from_pretrained
safetensors  our own names, everything, with the config of the run
ckpt         the whole training as one file, of what many processes saved: resume= and checkpoint=
             take it as they take the folder
"""

from mim.launch.arguments import Arguments, path, refuse_existing

FORMATS = ("hf", "mae", "safetensors", "timm", "ckpt")


def parser() -> Arguments:
    """What the command line may say."""
    parser = Arguments("python -m mim convert", __doc__, lambda given: refuse_existing(given.out))
    parser.add_argument("checkpoint", help="a run folder, a file, timm:<name> or hf:<repository>")
    parser.add_argument("out", type=path, help="where to write; must not exist yet")
    parser.add_argument("--to", choices=FORMATS, required=True)
    parser.add_count(
        "--heads", "attention heads of the encoder, where nothing in the checkpoint says"
    )
    parser.add_count("--decoder-heads", "the same of the decoder")
    parser.add_size("of the training, where nothing in the checkpoint says it")
    parser.add_argument(
        "--key", help="which weights of a file that holds several: student, state_dict_ema"
    )
    return parser
