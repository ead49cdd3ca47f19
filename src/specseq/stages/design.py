"""Stage ``design``: the taps and diagnostics of filters, one row per filter."""

from specseq.filters.table import DesignRequest, design_filters
from specseq.stages.request import serve

if __name__ == "__main__":
    serve(DesignRequest, design_filters, __doc__)
