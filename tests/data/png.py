"""PNG files, written by the standard alone (ISO 15948)."""

import struct
import zlib


def chunk(kind, content):
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def png_file(size, bits, kind, rows, before=b"", behind=b""):
    """Bytes of a file.

    Args:
        size: width and height that it says.
        bits: of a value.
        kind: number of a kind of colour.
        rows: bytes that are packed, each row behind a byte of 0.
        before: chunks before the pixels.
        behind: chunks behind them.
    """
    head = struct.pack(">IIBBBBB", *size, bits, kind, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(rows))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + before + pixels + behind + chunk(b"IEND", b"")
    )
