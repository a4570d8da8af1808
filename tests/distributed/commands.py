"""What one process and two are given to train, by the names of what they leave."""

from tests.teacher.taught import run_of

TOKENIZERS = ("dalle_encoder", "vqkd")
SHORT = (
    *(
        "images_per_step=128",
        "trainer.accelerator=cpu",
        "trainer.log_every_n_steps=1",
        "epochs=2",
        "warmup_epochs=1",
    ),
    *("trainer.limit_train_batches=5", "trainer.gradient_clip_val=0.5"),
    *(
        "callback=[refresh_attention,checkpoint,results]",
        "callback.checkpoint.keep_every_n_epochs=1",
    ),
)
MASKS = "+callback.masks._target_=tests.distributed.masks.Masks"
# 129 held-out images are 65 for one of two processes, which is a batch more than the other has
JUDGED = ("callback=[online_probe,checkpoint,results]", "callback.online_probe.held_out_limit=129")
CODED = ("encoder=beit_pico", "data.mean=imagenet", "data.std=imagenet")
DALLE, VQKD = (f"<runs>/{name}.pt" for name in TOKENIZERS)
METHODS = {
    "mae": (*JUDGED, MASKS),
    "data2vec": (
        MASKS,
        "loss=features",
        "loss.target.blocks=2",
        "teacher=ema",
        "teacher.momentum=0.9",
    ),
    "ibot": (
        *(
            MASKS,
            "images_per_step=16",
            "model=ibot",
            "+encoder.positions=learned",
            "loss.term.cls.out=32",
        ),
        *("model.head.hidden=32", "model.head.bottleneck=16", "augment@data.augment=multi_crop"),
        *(
            "data.augment.local_crops=2",
            "data.augment.local_size=16",
            "data.augment.jittered=0",
            "data.augment.grey=0",
        ),
        *("data.augment.blur=[0,0,0]", "data.augment.solarize=[0,0,0]"),
    ),
    "bootmae": (MASKS, *run_of("BootMAE")),
    "ijepa": (MASKS, *run_of("I-JEPA")),
    "dino": ("images_per_step=16", *run_of("DINO")),
    "emae": (MASKS, "masker=emae", "loss=emae"),
    "beit": (
        MASKS,
        *CODED,
        "model=simmim",
        "masker=block",
        "loss=codes",
        "loss.target.codes=64",
        f"loss.target.tokenizer={DALLE}",
    ),
    "cae": (
        *(
            MASKS,
            *CODED,
            "model=cae",
            "teacher.late=true",
            "encoder.positions=sincos_rows_first",
            "+encoder.start=cae",
        ),
        *("loss.term.codes.target.codes=64", f"loss.term.codes.target.tokenizer={VQKD}"),
        "loss.term.codes.target.heads=3",
    ),
    "amt": (
        MASKS,
        "masker=amt",
        "callback.refresh_attention.every_n_epochs=1",
        "epochs=3",
        "trainer.limit_train_batches=4",
    ),
}
TAUGHT = ("data2vec", "bootmae", "ijepa", "dino", "ibot", "cae")
"""Of those, what follows a teacher, which moves once a step."""
CMAE = (
    *(
        "model=cmae",
        "model.projector.hidden=32",
        "model.predictor.hidden=32",
        "callback=[checkpoint,results]",
    ),
    *(
        "augment@data.augment=shifted_pair",
        "data.augment.margin=4",
        "data.augment.shift=4",
        "data.augment.jittered=0.2",
    ),
)
SPLITS = {"ddp": ("trainer=ddp",), "fsdp": ("trainer=fsdp",)}
UNCOLOURED = (
    *("images_per_step=16", "data.augment.jittered=0"),
    *("data.augment.grey=0", "data.augment.blur=[0,0,0]", "data.augment.solarize=[0,0,0]"),
)
SIAMESE = {
    "moco_v3": (
        *("model=moco_v3", "augment@data.augment=multi_crop_moco_v3", "model.head.hidden=32"),
        *("model.predictor.hidden=32", "loss.term.contrast.out=16", *UNCOLOURED),
    ),
    "msn": (
        *("model=msn", "augment@data.augment=multi_crop_msn", "data.augment.local_crops=2"),
        *("model.head.hidden=32", "loss.term.match.out=16", "loss.term.match.prototypes=32"),
        *("+encoder.positions=learned", "masker.partition.ratio=0.3", *UNCOLOURED),
        "data.augment.local_size=16",
    ),
}
ACCUMULATED = ("trainer.accumulate_grad_batches=2", "trainer.limit_train_batches=10")
FINETUNE = (
    *(
        "task=finetune",
        "callback=[checkpoint,results]",
        "callback.checkpoint.keep_every_n_epochs=null",
    ),
    "data._target_=tests.distributed.uneven.Uneven",
)
SCENES = (
    *(
        "data=scattered_digits",
        "data.train_scenes=16",
        "data.held_out=5",
        "data.image_size=32",
        "encoder.patch_size=4",
    ),
    *("images_per_step=8", "data.batch_size=4", "epochs=1", "trainer.limit_train_batches=null"),
    *("callback=[checkpoint,results]", "callback.checkpoint.keep_every_n_epochs=null"),
)
DENSE = {
    "segment": (
        "task=segment",
        *SCENES,
        "warmup_epochs=0",
        "head.dropout=0",
        "head.auxiliary_width=16",
    ),
    "detect": ("task=detect", *SCENES, "warmup_steps=1"),
}
ON_TWO = {
    **{
        f"{name}_{how}": (*method, *split)
        for name, method in METHODS.items()
        for how, split in SPLITS.items()
    },
    "mae_fsdp_accumulated": (*SPLITS["fsdp"], *ACCUMULATED),
    **{f"cmae_{how}": (*CMAE, *split) for how, split in SPLITS.items()},
    **{f"{name}_ddp_accumulated": (*METHODS[name], "trainer=ddp", *ACCUMULATED) for name in TAUGHT},
    **{f"{name}_{how}": (*SIAMESE[name], *SPLITS[how]) for name in SIAMESE for how in SPLITS},
    **{
        f"{name}_ddp_accumulated": (*SIAMESE[name], "trainer=ddp", *ACCUMULATED) for name in SIAMESE
    },
    "mae_fsdp_replicas": (*SPLITS["fsdp"], "trainer.strategy.replicas=2"),
    "mae_ddp_from_fsdp": (*SPLITS["ddp"], "resume=@mae_fsdp"),
    **{f"finetune_{how}": (*FINETUNE, *split) for how, split in SPLITS.items()},
    **{f"{name}_ddp": (*overrides, *SPLITS["ddp"]) for name, overrides in DENSE.items()},
    "mae_fsdp_from_ddp": (*SPLITS["fsdp"], "resume=@mae_ddp"),
}
ON_ONE = {
    **{f"{name}_one": method for name, method in METHODS.items()},
    "finetune_one": FINETUNE,
    "cmae_one": CMAE,
    **{
        f"{name}_one": (*overrides, "trainer.accumulate_grad_batches=1", "data.batch_size=8")
        for name, overrides in DENSE.items()
    },
    **{f"{name}_one": method for name, method in SIAMESE.items()},
    **{f"{name}_one_accumulated": (*method, *ACCUMULATED) for name, method in SIAMESE.items()},
    "mae_one_from_fsdp": ("resume=@mae_fsdp",),
    "data2vec_one_from_fsdp": (*METHODS["data2vec"], "resume=@data2vec_fsdp"),
    "amt_fsdp_alone_from_fsdp": (*METHODS["amt"], "trainer=fsdp", "resume=@amt_fsdp"),
}


# what the tests of every day need: they are all in one file, so that one process of pytest makes
# them once
OFTEN = {"mae_one", "mae_ddp", "mae_fsdp", "finetune_one", "finetune_ddp", "mae_one_from_fsdp"}
