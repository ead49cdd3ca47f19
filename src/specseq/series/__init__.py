"""Series: corpora, the memory-mapped store, transforms, packing, synthetic series."""
