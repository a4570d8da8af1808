"""Write the table of docs/weights.md: which models of timm are an encoder as they are, and what is
said of the others.

python docs/readable.py writes it into the page.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import torch

from mim.encoder.timm_vit import TimmViT

PAGE = Path(__file__).with_name("weights.md")
BEGIN, END = "<!-- made by docs/readable.py -->\n", "<!-- end -->\n"
NAMES = [
    "vit_small_patch16_dinov3",
    "vit_base_patch16_dinov3_qkvb",
    "vit_huge_plus_patch16_dinov3",
    "vit_small_patch14_dinov2",
    "vit_small_patch14_reg4_dinov2",
    "vit_giant_patch14_reg4_dinov2",
    "vit_base_patch14_reg1_tipsv2",
    "vit_huge_patch14_gap_224",
    "vit_base_patch16_224",
    "vit_base_patch16_224_miil",
    "vit_base_patch16_gap_224",
    "flexivit_small",
    "deit_tiny_distilled_patch16_224",
    "deit3_small_patch16_224",
    "vit_base_patch16_siglip_224",
    "vit_so400m_patch14_siglip_gap_224",
    "vit_base_patch16_clip_224",
    "vit_base_patch16_clip_quickgelu_224",
    "vit_pe_core_tiny_patch16_384",
    "vit_pe_spatial_tiny_patch16_512",
    "vit_pe_lang_large_patch14_448",
    "eva02_tiny_patch14_224",
    "eva02_large_patch14_clip_224",
    "eva_giant_patch14_224",
    "beit3_base_patch16_224",
    "aimv2_large_patch14_224",
    "vit_base_patch16_rope_224",
    "vit_base_patch16_rope_mixed_ape_224",
    "vit_medium_patch16_rope_reg1_gap_256",
    "vit_so150m_patch16_reg4_map_256",
    "vit_base_patch16_xp_224",
    "vit_base_patch16_18x2_224",
    "vit_base_patch16_rpn_224",
    "vit_dlittle_patch16_reg1_gap_256",
    "vit_dpwee_patch16_reg1_gap_256",
    "vit_intern300m_patch14_448",
    "vit_base_patch16_sapiens2",
    "vit_base_patch16_lingbot",
    "vit_base_patch16_radio_v3",
    "beit_base_patch16_224",
    "swin_tiny_patch4_window7_224",
    "swinv2_tiny_window8_256",
    "vit_base_r50_s16_224",
    "vit_relpos_small_patch16_224",
    "samvit_base_patch16",
    "naflexvit_base_patch16_gap",
    "cait_xxs24_224",
    "xcit_nano_12_p16_224",
    "hiera_tiny_224",
    "resnet18",
]


def rows() -> Iterator[str]:
    """A line a model: its prefix tokens, positions and blocks, or why it is none."""
    for name in NAMES:
        patch = int((re.search(r"patch(\d+)", name) or [0, 16])[1])
        try:
            with torch.device("meta"):
                encoder = TimmViT(name, 4 * patch, depth=None if "sapiens" in name else 1)
        except ValueError as error:
            what, _, instead = str(error).partition("; ")
            yield (
                f"| `{name}` | refused: {what}{f'; {instead}' if 'such a one' in instead else ''} |"
            )
            continue
        absolute = ["absolute"] if encoder.pos_embed is not None else []
        rotary = ["rotary"] if encoder.rope is not None else []
        tokens = f"{encoder.prefix} prefix token{'' if encoder.prefix == 1 else 's'}"
        positions = f"{' and '.join(absolute + rotary) or 'no'} positions"
        block: torch.nn.Module = encoder.blocks[0]
        yield f"| `{name}` | works: {tokens}, {positions}, {type(block).__name__} |"


def table() -> str:
    """The whole table."""
    return "\n".join(["| `encoder.name=` | |", "|---|---|", *rows()]) + "\n"


def written(page: str) -> str:
    """The page with the table that is true now."""
    before, _, rest = page.partition(BEGIN)
    return before + BEGIN + table() + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
