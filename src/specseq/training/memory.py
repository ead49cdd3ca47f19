"""What a training process keeps of the memory it frees."""

import torch

# The largest block by which glibc adapts, 32 MiB with its header.
_LARGEST = (32 << 20) - 4096


def keep_freed_memory() -> None:
    """Let the C library keep what a step frees for the next step.

    glibc returns the free end of its heap to the system once that exceeds twice the largest block that was
    mapped by itself and freed, so that small models map hundreds of pages again in every step. A block of the
    largest size that counts raises this bound to 64 MiB. Other C libraries do not care.
    """
    torch.empty(_LARGEST, dtype=torch.uint8)
