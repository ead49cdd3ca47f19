"""Scripts and styles that the page carries inside itself: Vega for charts, DataTables for tables."""

import re
from functools import cache
from importlib import resources

import vl_convert

_EXPORT = re.compile(r"export\s*\{(?P<names>[^}]*)\}")


@cache
def vega_script() -> str:
    """Vega, Vega-Lite and Vega-Embed; sets ``window.vegaEmbed``."""
    return _closed(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))


@cache
def tables_script() -> str:
    """DataTables with its extensions; sets ``window.ITable``.

    The bundle is an ES module. Its one export statement becomes an assignment, so that the page needs no
    second file to import from.
    """
    bundle = (resources.files("itables") / "html" / "dt_bundle.js").read_text(encoding="utf-8")
    found = _EXPORT.search(bundle)
    if found is None:
        raise RuntimeError(
            "the DataTables bundle of itables exports nothing; is the pinned version installed?"
        )
    private = {public: name for name, public in re.findall(r"([\w$]+) as (\w+)", found["names"])}
    assignment = f"window.ITable={private['ITable']};"
    return _closed(bundle[: found.start()] + assignment + bundle[found.end() :])


@cache
def tables_style() -> str:
    """Style sheet of DataTables."""
    return (resources.files("itables") / "html" / "dt_bundle.css").read_text(encoding="utf-8")


def own(name: str) -> str:
    """A file of this package."""
    return (resources.files("specseq.report.page") / name).read_text(encoding="utf-8")


def _closed(script: str) -> str:
    return script.replace("</script", "<\\/script")
