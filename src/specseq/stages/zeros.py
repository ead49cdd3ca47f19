"""Stage ``zeros``: a table of verified zeros."""

from specseq.stages.request import serve
from specseq.zeros.catalogue import ZerosRequest, make_zeros

if __name__ == "__main__":
    serve(ZerosRequest, make_zeros, __doc__)
