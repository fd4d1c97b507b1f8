"""Published success on LIBERO-Plus by dimension, per cent.

Source: the README of LIBERO-Plus (github.com/sylvestf/LIBERO-plus), of pi0.5 its issue
57. The prompts of all variants but those of language carry the variant's name there.
Rates of our simulator are no entries of this table.
"""

COLUMNS = ("camera", "robot", "language", "light", "background", "noise", "layout")
ROWS: dict[str, tuple[float, ...]] = {  # by dimension, then of all 10,030 variants
    "OpenVLA": (0.8, 3.5, 23.0, 8.1, 34.8, 15.2, 28.5, 15.6),
    "pi0": (13.8, 6.0, 58.8, 85.0, 81.4, 79.0, 68.9, 53.6),
    "pi0-FAST": (65.1, 21.6, 61.0, 73.2, 73.2, 74.4, 68.8, 61.6),
    "RIPT-VLA": (55.2, 31.2, 77.6, 88.4, 91.6, 73.5, 74.2, 68.4),
    "OpenVLA-OFT": (56.4, 31.9, 79.5, 88.7, 93.3, 75.8, 74.2, 69.6),
    "OpenVLA-OFT+, trained on LIBERO-Plus": (
        *(92.8, 30.3, 85.8, 94.9, 93.9, 89.3, 77.6, 79.6),
    ),
    "pi0.5, official weights": (67.3, 78.8, 86.3, 95.8, 93.8, 87.3, 86.4, 84.2),
}
