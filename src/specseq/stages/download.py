"""Stage ``download``: data sets from the hub, checked and resumable."""

from specseq.series.downloads import DownloadRequest, download_data_sets
from specseq.stages.request import serve

if __name__ == "__main__":
    serve(DownloadRequest, download_data_sets, __doc__)
