"""The data that a config names: embedded, downloaded from the hub, or a folder of the user's."""

from dataclasses import dataclass
from typing import Any

from specseq.errors import InputError
from specseq.studies.config import EMBEDDED, HUB
from specseq.studies.outside import tidy_path
from specseq.sweeps import Plan
from specseq.sweeps.layers import Layer


def download_folder(source: str) -> str:
    """The folder that a source is downloaded to."""
    return f"downloads/{source}"


def download_record(source: str) -> str:
    """The file that is written when a download is whole."""
    return f"{download_folder(source)}/download.json"


@dataclass(frozen=True)
class DataSources:
    """Sources of the data of each scale."""

    plan: Plan

    def check(self, scale: str) -> None:
        """Refuse embedded series in place of those that the scale's file names, unless that is intended.

        Raises:
            InputError: the config says ``embedded``, or null, for all scales; only the scale's own section
                may. Or it takes out the text without naming another.
        """
        for name in ("lotsa", "gift_eval"):
            if layer := self.displaced(scale, name):
                raise InputError(
                    layer.place(("data", name)),
                    f"the scale {scale} is for published series, and these are embedded",
                    f"leave it out, or mean it: scales: {{{scale}: {{data: {{{name}: embedded}}}}}}",
                )
        named = [value for _, value in self.plan.at(scale).sources(("data", "text", "source")) if value]
        published = bool(named) and named[-1].get("kind") == HUB
        for path in (("data", "text"), ("data", "text", "source")) if published else ():
            if (layers := self.plan.at(scale).sources(path)) and layers[-1][1] is None:
                fault = "takes out the published text"
                remedy = "leave it out, or name another: text: {source: {kind: docstrings}}"
                raise InputError(layers[-1][0].place(path), fault, remedy)

    def displaced(self, scale: str, name: str) -> Layer | None:
        """The config layer that removes a scale's published data, unless it is the scale's own section."""
        setting = self.plan.at(scale).sources(("data", name))
        absent = [value in (None, EMBEDDED) for _, value in setting]
        if not absent or all(absent) or not absent[-1] or setting[-1][0].path == ("scales", scale):
            return None
        return setting[-1][0]

    def needed(self, scale: str, name: str) -> str | list[str]:
        """The file or folder that must be there before data are read; nothing for embedded data.

        Raises:
            InputError: embedded data are not intended at this scale.
        """
        self.check(scale)
        hub = self.plan.data(scale)[name] == HUB
        return download_record(name) if hub else self.folder(scale, name) or []

    def folder(self, scale: str, name: str) -> str | None:
        """The folder of data from outside, downloaded or the user's; None for embedded data or none."""
        given = self.plan.data(scale)[name]
        if given in (None, EMBEDDED):
            return None
        return download_folder(name) if given == HUB else str(given)

    def own(self, scale: str, name: str) -> list[str]:
        """The user's own folder, which the workflow watches for changes; downloads have a record instead."""
        given = self.plan.data(scale)[name]
        return [] if given in (None, EMBEDDED, HUB) else [given]

    def zeros_own(self, scale: str) -> list[str]:
        """The user's own files of zeros, if any."""
        return [path] if (path := self.plan.data(scale)["zeros"].get("platt")) else []

    def arrays(self, scale: str) -> list[str]:
        """The folder of arrays of spacings that takes the place of zeros, if there is one."""
        return [path] if (path := self.plan.data(scale)["spacings"].get("arrays")) else []

    def text(self, scale: str) -> dict[str, Any]:
        """Parameters of the text and its tokens; one from the hub is read from where it is downloaded to."""
        text: dict[str, Any] = self.plan.data(scale)["text"]
        source = text.get("source", {})
        if source.get("kind") == HUB:
            return {**text, "source": {"kind": "path", "path": download_folder("text")}}
        if "path" in source:
            return {**text, "source": {**source, "path": tidy_path(source["path"])}}
        return text

    def text_needed(self, scale: str) -> list[str]:
        """The record of the text's download, where it comes from the hub."""
        source = self.plan.data(scale)["text"].get("source", {})
        return [download_record("text")] if source.get("kind") == HUB else []

    def text_own(self, scale: str) -> list[str]:
        """The user's own text, if there is one."""
        path = self.text(scale)["source"].get("path") if "source" in self.text(scale) else None
        return [path] if path and not self.text_needed(scale) else []
