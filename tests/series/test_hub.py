"""Downloads with the real client, from a small hub on this machine."""

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from specseq.errors import InputError
from specseq.series.evaluation import evaluation_manifest
from specseq.series.hub import RECORD, HubRepository, check_finished, choose, data_set_folders, download
from specseq.series.lotsa import MINI, lotsa_sub_datasets
from specseq.series.prepare import prepare_store

MakeFolder = Callable[..., Path]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class SmallHub(ThreadingHTTPServer):
    """Serves the hub's tree and resolve endpoints for one repository; counts the files it hands out."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = files
        self.claimed = dict(files)
        self.served: list[str] = []

    @property
    def repository(self) -> HubRepository:
        return HubRepository("owner/data", endpoint=f"http://127.0.0.1:{self.server_port}")


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    server: SmallHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if "/owner/gated" in path:
            return self._answer(403, b"{}", {"X-Error-Code": "GatedRepo"})
        if not path.startswith(("/api/datasets/owner/data", "/datasets/owner/data")):
            return self._answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        if "/tree/" in path:
            entries = [self._entry(name, content) for name, content in self.server.claimed.items()]
            return self._answer(200, json.dumps(entries).encode(), {"Content-Type": "application/json"})
        if found := re.fullmatch(r"/datasets/owner/data/resolve/[^/]+/(.*)", path):
            content = self.server.content[found[1]]
            if self.command == "GET":
                self.server.served.append(found[1])
            etag = hashlib.sha256(self.server.claimed[found[1]]).hexdigest()
            return self._answer(200, content, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT})
        siblings = [{"rfilename": name} for name in self.server.content]
        body = {"id": "owner/data", "sha": COMMIT, "siblings": siblings, "private": False, "tags": []}
        return self._answer(200, json.dumps(body).encode(), {"Content-Type": "application/json"})

    @staticmethod
    def _entry(name: str, content: bytes) -> dict[str, object]:
        entry: dict[str, object] = {"type": "file", "path": name, "size": len(content)}
        entry["oid"] = git_sha1(content)
        if name.endswith(".arrow"):
            digest = hashlib.sha256(content).hexdigest()
            entry["lfs"] = {"oid": digest, "size": len(content), "pointerSize": 130}
        return entry


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallHub]:
    files = {"README.md": b"licence"}
    for name in ("etth", "m4_hourly", "cmip6_1850", "ett1/H"):
        files[f"{name}/state.json"] = b"{}"
        files[f"{name}/data-00000-of-00001.arrow"] = name.encode() * 100
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    server = SmallHub(files)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def test_only_what_was_chosen_is_downloaded_and_checked(hub: SmallHub, tmp_path: Path) -> None:
    folders = data_set_folders(hub.repository.files())
    assert list(folders) == ["cmip6_1850", "ett1/H", "etth", "m4_hourly"]
    record = download(hub.repository, folders["etth"] + folders["ett1/H"], tmp_path)
    assert (tmp_path / "etth" / "data-00000-of-00001.arrow").read_bytes() == b"etth" * 100
    assert (tmp_path / "ett1" / "H" / "state.json").is_file()
    assert not (tmp_path / "m4_hourly").exists()
    assert not (tmp_path / "README.md").exists()
    assert json.loads((tmp_path / RECORD).read_text()) == record
    assert record["files"]["etth/state.json"] == git_sha1(b"{}")


def test_a_second_download_fetches_only_what_is_missing_or_wrong(hub: SmallHub, tmp_path: Path) -> None:
    files = data_set_folders(hub.repository.files())["etth"]
    download(hub.repository, files, tmp_path)
    hub.served.clear()
    download(hub.repository, files, tmp_path)
    assert hub.served == []
    (tmp_path / "etth" / "data-00000-of-00001.arrow").write_bytes(b"etth" * 99 + b"ett?")
    download(hub.repository, files, tmp_path)
    assert hub.served == ["etth/data-00000-of-00001.arrow"]
    assert (tmp_path / "etth" / "data-00000-of-00001.arrow").read_bytes() == b"etth" * 100


def test_what_is_no_longer_asked_for_is_deleted(hub: SmallHub, tmp_path: Path) -> None:
    folders = data_set_folders(hub.repository.files())
    download(hub.repository, folders["etth"] + folders["m4_hourly"], tmp_path)
    download(hub.repository, folders["etth"], tmp_path)
    assert [path.parent.name for path in tmp_path.glob("*/state.json")] == ["etth"]


def test_a_gated_repository_says_how_to_be_let_in(hub: SmallHub) -> None:
    with pytest.raises(InputError, match=r"accept them at huggingface\.co/owner/gated and set HF_TOKEN"):
        HubRepository("owner/gated", endpoint=hub.repository.endpoint).files()


def test_access_is_asked_for_before_anything_is_downloaded(hub: SmallHub) -> None:
    hub.repository.check_access()
    endpoint = hub.repository.endpoint
    with pytest.raises(InputError, match="only to those who have accepted its terms; accept them at"):
        HubRepository("owner/gated", endpoint=endpoint).check_access()
    with pytest.raises(InputError, match="the hub has no data set of this name"):
        HubRepository("owner/none", endpoint=endpoint).check_access()
    with pytest.raises(InputError, match="the hub cannot be reached"):
        HubRepository("owner/data", endpoint="http://127.0.0.1:9").check_access()


def test_a_checksum_that_stays_wrong_is_an_error_and_leaves_no_record(hub: SmallHub, tmp_path: Path) -> None:
    name = "etth/data-00000-of-00001.arrow"
    files = data_set_folders(hub.repository.files())["etth"]
    download(hub.repository, files, tmp_path)
    hub.content[name] = b"x" * 400
    (tmp_path / name).unlink()
    with pytest.raises(InputError, match="wrong checksum") as caught:
        download(hub.repository, files, tmp_path)
    assert name in str(caught.value)
    assert not (tmp_path / RECORD).exists()
    with pytest.raises(InputError, match="unfinished"):
        check_finished(tmp_path)


def test_an_interrupted_download_is_refused_until_it_is_finished(
    hub: SmallHub, make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after the first of two sub-datasets; what lies there would pass for the whole."""
    for name in ("etth", "m4_hourly"):
        folder = make_folder(name, [np.sin(np.arange(40.0))])
        hub.claimed |= {f"{name}/{file.name}": file.read_bytes() for file in folder.iterdir()}
    hub.content = dict(hub.claimed)
    folders = data_set_folders(hub.repository.files())
    wanted, out = folders["etth"] + folders["m4_hourly"], tmp_path / "out"
    fetch = HubRepository.fetch

    def killed(self: HubRepository, paths: Sequence[str], folder: Path) -> None:
        fetch(self, [path for path in paths if path.startswith("etth/")], folder)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(HubRepository, "fetch", killed)
        with pytest.raises(KeyboardInterrupt):
            download(hub.repository, wanted, out)
    refusal = re.escape(f"{out}: this download is unfinished; run it again")
    with pytest.raises(InputError, match=refusal):
        prepare_store(out, tmp_path / "store")
    with pytest.raises(InputError, match=refusal):
        evaluation_manifest(out, tmp_path / "manifest.json")
    assert not (tmp_path / "store").exists()

    download(hub.repository, wanted, out)
    assert list(prepare_store(out, tmp_path / "store")["datasets"]) == ["etth", "m4_hourly"]
    assert list(evaluation_manifest(out, tmp_path / "manifest.json")["datasets"]) == ["etth", "m4_hourly"]


def test_no_network_is_said_with_what_to_do(tmp_path: Path) -> None:
    away = HubRepository("owner/data", endpoint="http://127.0.0.1:9")
    with pytest.raises(InputError, match="cannot be reached") as caught:
        away.files()
    assert "hf download owner/data --repo-type dataset" in str(caught.value)
    with pytest.raises(InputError, match="cannot be reached"):
        away.fetch(["a"], tmp_path)


def test_an_unknown_repository_is_said(hub: SmallHub) -> None:
    with pytest.raises(InputError, match="no data set of this name"):
        HubRepository("owner/nothing", endpoint=hub.repository.endpoint).files()


def test_presets() -> None:
    climate = [f"era5_{year}" for year in (1989, 1990)] + [f"cmip6_{year}" for year in (1850, 1855)]
    available = sorted([*MINI, "buildings_900k", *climate])
    assert lotsa_sub_datasets(available, "mini") == sorted(MINI)
    assert lotsa_sub_datasets(available, "full") == available
    assert set(lotsa_sub_datasets(available, "practical")) == set(available) - {"era5_1990", "cmip6_1855"}
    assert lotsa_sub_datasets(available, None, ["era5_*"]) == ["era5_1989", "era5_1990"]
    with pytest.raises(InputError, match=r"has no .era5_2005.*era5_1989"):
        lotsa_sub_datasets(available, "mini", ["era5_2005"])


def test_a_name_chooses_what_lies_below_it() -> None:
    assert choose(["ett1/D", "ett1/H", "ett2/H"], ["ett1"], "there") == ["ett1/D", "ett1/H"]
    assert choose(["m4_daily", "m4_hourly"], ["m4_*"], "there") == ["m4_daily", "m4_hourly"]
