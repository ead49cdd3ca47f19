"""Checked, resumable downloads of parts of a repository on the Hugging Face hub, data sets or weights."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from specseq.errors import InputError, full_disk
from specseq.series.store import file_digest
from specseq.tables.files import write_text

LOTSA = "Salesforce/lotsa_data"
GIFT_EVAL = "Salesforce/GiftEval"
FEV = "autogluon/fev_datasets"
RECORD = "download.json"
UNFINISHED = "download.unfinished"
_SHA256_DIGITS = 64
_WORDS = {"dataset": "data set", "model": "model"}


@dataclass(frozen=True)
class RemoteFile:
    """A file in a repository.

    Attributes:
        path: path relative to the repository's root.
        size: size in bytes.
        sha256: checksum of the content, for large files.
        git_sha1: git's object id of the content, for small files.
    """

    path: str
    size: int
    sha256: str | None
    git_sha1: str | None

    def fault(self, local: Path) -> str | None:
        """Fault of a local copy, or None."""
        if not local.is_file():
            return "missing"
        if local.stat().st_size != self.size:
            return f"{local.stat().st_size} bytes where the hub has {self.size}"
        if self.sha256 is not None:
            return None if file_digest(local) == self.sha256 else "wrong checksum (sha256)"
        content = local.read_bytes()
        header = f"blob {len(content)}\0".encode()
        digest = hashlib.sha1(header + content, usedforsecurity=False).hexdigest()
        return None if digest == self.git_sha1 else "wrong checksum (git sha1)"


@dataclass(frozen=True)
class HubRepository:
    """A repository on the hub.

    Attributes:
        name: ``owner/name``.
        revision: branch, tag or commit.
        endpoint: address of a hub other than the public one.
        kind: kind of repository: data sets, or a model's weights.
    """

    name: str
    revision: str = "main"
    endpoint: str | None = None
    kind: Literal["dataset", "model"] = "dataset"

    def files(self) -> list[RemoteFile]:
        """All files, sorted by path.

        Raises:
            InputError: the hub cannot be reached or has no such repository.
        """
        from huggingface_hub import HfApi, RepoFile

        with _reachable(self):
            tree = HfApi(endpoint=self.endpoint).list_repo_tree(
                self.name, repo_type=self.kind, recursive=True, revision=self.revision
            )
            entries = [entry for entry in tree if isinstance(entry, RepoFile)]
        remote = [
            RemoteFile(f.path, f.size, f.lfs.sha256 if f.lfs else None, None if f.lfs else f.blob_id)
            for f in entries
        ]
        return sorted(remote, key=lambda file: file.path)

    def check_access(self, seconds: float = 20) -> None:
        """Ask whether this user may download from it.

        Raises:
            InputError: the hub does not answer in this time, has no such repository, or does not give it.
        """
        from huggingface_hub import constants, get_session
        from huggingface_hub.utils._headers import build_hf_headers
        from huggingface_hub.utils._http import hf_raise_for_status

        endpoint = self.endpoint or constants.ENDPOINT
        with _reachable(self):
            path = f"{endpoint}/api/{self.kind}s/{self.name}/auth-check"
            hf_raise_for_status(get_session().get(path, headers=build_hf_headers(), timeout=seconds))

    def fetch(self, paths: Sequence[str], folder: Path) -> None:
        """Download files to ``folder``; complete files are kept, partial ones are continued."""
        from huggingface_hub import snapshot_download

        with _reachable(self):
            snapshot_download(
                self.name,
                repo_type=self.kind,
                revision=self.revision,
                local_dir=folder,
                allow_patterns=list(paths),
                endpoint=self.endpoint,
            )


@contextmanager
def _reachable(repository: HubRepository) -> Iterator[None]:
    """Turn errors of the hub and the network into one line that says how to proceed without them."""
    import httpx
    from huggingface_hub import errors

    name, kind = repository.name, repository.kind
    try:
        yield
    except errors.GatedRepoError:
        fault = "the hub gives it only to those who have accepted its terms"
        remedy = f"accept them at huggingface.co/{name} and set HF_TOKEN to a token of that account"
        raise InputError(name, fault, remedy) from None
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError):
        fault = f"the hub has no {_WORDS[kind]} of this name at {repository.revision!r}"
        raise InputError(name, fault) from None
    except (
        errors.HfHubHTTPError,
        errors.LocalEntryNotFoundError,
        errors.OfflineModeIsEnabled,
        httpx.HTTPError,
        ConnectionError,
    ) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        remedy = (
            f"run this again with a network, or fetch it elsewhere with 'hf download {name} --repo-type "
            f"{kind} --local-dir DIR' and give DIR as the data's folder; finished files are kept"
        )
        raise InputError(name, f"the hub cannot be reached ({reason})", remedy) from None


def data_set_folders(files: Sequence[RemoteFile]) -> dict[str, list[RemoteFile]]:
    """The files of each data set folder in a repository, one that has a ``state.json``."""
    folders = {file.path.rsplit("/", 1)[0] for file in files if file.path.endswith("/state.json")}
    grouped: dict[str, list[RemoteFile]] = {folder: [] for folder in sorted(folders)}
    for file in files:
        folder = file.path.rpartition("/")[0]
        if folder in grouped:
            grouped[folder].append(file)
    return grouped


def choose(available: Sequence[str], patterns: Sequence[str], where: str) -> list[str]:
    """The names that match any pattern, or lie below it (``ett1`` chooses ``ett1/H``).

    Raises:
        InputError: a pattern matches nothing, such as a sub-dataset that the hub does not have.
    """
    chosen: set[str] = set()
    for pattern in patterns:
        matched = {name for name in available if fnmatchcase(name, pattern) or name.startswith(f"{pattern}/")}
        if not matched:
            head = pattern.split("_")[0]
            near = [name for name in available if name.startswith(head)][:8] or list(available)[:8]
            raise InputError(
                where, f"has no {pattern!r}", f"there are {len(available)}: {', '.join(near)} ..."
            )
        chosen |= matched
    return sorted(chosen)


def download(repository: HubRepository, files: Sequence[RemoteFile], out: Path) -> dict[str, Any]:
    """Download files and check every one against the hub's checksum.

    An existing file with the right checksum is not fetched again; a wrong one is fetched once more.
    ``out/download.json`` is written last and lists every file with its checksum, so its presence means that
    the download is complete. Until then ``out/download.unfinished`` exists; the absence of the record alone
    would not show an interruption, since folders made by other means have none.

    Files of an earlier download to this folder that are no longer requested are deleted.

    Returns:
        The record written to ``download.json``.

    Raises:
        InputError: no network, a full disk, or a file whose checksum stays wrong.
    """
    with full_disk(out):
        out.mkdir(parents=True, exist_ok=True)
        (out / UNFINISHED).touch()
    with suppress(InputError):  # a damaged record is about to be replaced
        for path in _recorded(out).keys() - {file.path for file in files}:
            (out / path).unlink(missing_ok=True)
    (out / RECORD).unlink(missing_ok=True)
    missing = [file for file in files if file.fault(out / file.path)]
    with full_disk(out):
        for _ in range(2):
            if missing:
                for file in missing:
                    (out / file.path).unlink(missing_ok=True)
                repository.fetch([file.path for file in missing], out)
                missing = [file for file in missing if file.fault(out / file.path)]
    if missing:
        fault = missing[0].fault(out / missing[0].path)
        raise InputError(
            out / missing[0].path, str(fault), "run this again; if it stays, report it to the hub"
        )
    record = {
        "repository": repository.name,
        "revision": repository.revision,
        "bytes": sum(file.size for file in files),
        "files": {file.path: file.sha256 or file.git_sha1 for file in files},
    }
    write_text(out / RECORD, json.dumps(record, indent=1) + "\n")
    (out / UNFINISHED).unlink()
    return record


def check_finished(folder: str | Path) -> None:
    """Refuse a folder whose download was interrupted; missing sub-datasets would otherwise go unnoticed.

    Raises:
        InputError: the download was interrupted.
    """
    if (Path(folder) / UNFINISHED).exists():
        raise InputError(folder, "this download is unfinished", "run it again: it resumes from here")


def recorded_checksums(folder: Path) -> dict[str, str]:
    """SHA-256 of a download's large files by path; empty if ``folder`` is not a download.

    Raises:
        InputError: the record is damaged.
    """
    return {name: digest for name, digest in _recorded(folder).items() if len(digest) == _SHA256_DIGITS}


def _recorded(folder: Path) -> dict[str, str]:
    """The files of a download with their checksums; empty if ``folder`` is not a download."""
    path = folder / RECORD
    if not path.is_file():
        return {}
    try:
        files = json.loads(path.read_text(encoding="utf-8"))["files"]
        return {str(name): str(digest) for name, digest in files.items()}
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise InputError(path, f"not the record of a download ({error})", "run the download again") from None
