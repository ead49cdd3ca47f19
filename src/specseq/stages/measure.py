"""Stage ``measure``: size, speed, losses and leaks of trained models, side by side on the same batches."""

from specseq.models.side_by_side import MeasureRequest, measure
from specseq.stages.request import serve

if __name__ == "__main__":
    serve(MeasureRequest, measure, __doc__)
