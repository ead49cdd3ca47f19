"""Who sees whom: the published attention mask and the causal one."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from specseq.spacings.attention import attention_mask
from specseq.spacings.config import AttentionMask

SLOTS, LENGTH = 8, 24


def draw(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """Both masks of a window of 24 spacings behind 8 memory slots; dark where a row reads a column.

    Args:
        inputs: none.
        params: none.
    """
    figure, axes = plt.subplots(1, 2, figsize=(8.4, 4.2), sharey=True)
    titles: dict[AttentionMask, str] = {
        "published": "published: memory rows read the future",
        "causal": "causal: memory rows read memory",
    }
    for panel, (kind, title) in zip(axes, titles.items(), strict=True):
        panel.imshow(attention_mask(SLOTS, LENGTH, kind).numpy(), cmap="Blues", vmin=0, vmax=1.4)
        panel.axhline(SLOTS - 0.5, color="C1", lw=1)
        panel.axvline(SLOTS - 0.5, color="C1", lw=1)
        panel.grid(visible=False)
        panel.set(title=title, xlabel=f"token read ({SLOTS} memory slots, then spacings)")
    axes[0].set_ylabel("token reading")
    return figure
