"""Stage ``download``: data sets, text or weights from the hub, checked and resumable."""

from specseq.series.downloads import DownloadRequest, download_source
from specseq.stages.request import serve

if __name__ == "__main__":
    serve(DownloadRequest, download_source, __doc__)
