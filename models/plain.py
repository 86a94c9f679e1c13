"""Text from anywhere, as it may be shown."""

from __future__ import annotations

CONTROLS = dict.fromkeys(
    [
        *range(32),
        *range(127, 160),
        0x061C,
        *range(0x200E, 0x2010),
        *range(0x202A, 0x202F),
        *range(0x2066, 0x206A),
        *range(0xD800, 0xE000),
    ],
    " ",
)
"""For ``str.translate``: words come from models, packs and files, and must neither
command the terminal nor turn the order of its characters (Unicode's bidirectional
controls), and halves of characters cannot be written."""
