"""``specseq design``: design one filter and print its taps and diagnostics."""

import argparse
import json
from collections.abc import Sequence

from specseq.commands.options import to_request
from specseq.filters import FAMILIES, Diagnostics, Filter
from specseq.filters.table import DesignRequest, design_filters

_EXAMPLES = """\
examples:
  specseq design lyapunov --degree 4 --lam 5
  specseq design chebyshev --degree 5 --stride 16 --json
  specseq design literal --taps=-0.454,0,-0.306
"""


def main(arguments: Sequence[str]) -> None:
    """Print the designed filter."""
    families = [family for family in FAMILIES if family != "matched"]
    parser = argparse.ArgumentParser(
        prog="specseq design",
        description="Design a filter A(L) = 1 + Σ c_i L^i and print its taps c and its diagnostics.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("family", choices=families)
    parser.add_argument("--degree", type=int, help="number of taps")
    parser.add_argument("--lam", type=float, help="weight of the penalty (lyapunov, l2)")
    parser.add_argument("--taps", help="taps of a literal filter, separated by commas: --taps=-0.5,0.1")
    parser.add_argument("--stride", type=int, default=1, help="time steps between two taps (default 1)")
    parser.add_argument(
        "--horizon", type=int, action="append", help="horizon of the gain v(H); may be repeated"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    spec = {key: getattr(options, key) for key in ("family", "degree", "lam", "taps", "stride")}
    if options.taps is not None:
        spec["taps"] = [_number(tap) for tap in options.taps.split(",")]
    request = to_request(
        DesignRequest, {"filters": {"": spec}, "horizons": options.horizon}, horizons="horizon"
    )
    [(filter, diagnostics)] = design_filters(request)
    if options.json:
        own = {name: getattr(filter, name) for name in ("name", "family", "degree", "lam", "stride")}
        print(json.dumps({**own, "c": list(filter.taps), **diagnostics.record()}))
    else:
        _show(filter, diagnostics)


def _number(word: str) -> float | str:
    """A word as a number; any other word is returned as it is, for the settings to refuse."""
    try:
        return float(word)
    except ValueError:
        return word


def _show(filter: Filter, diagnostics: Diagnostics) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=filter.name, title_justify="left")
    table.add_column("quantity")
    table.add_column("value", justify="right")
    table.add_column("meaning", style="dim")
    verdict = "stable" if diagnostics.stable else "UNSTABLE"
    rows: list[tuple[str, float, str]] = [
        ("sup-norm", diagnostics.sup_norm, "max |p(x)| on [-1, 1]; identity 1"),
        ("spectral radius", diagnostics.spectral_radius, f"recursive reversal is {verdict}"),
        ("noise gain G", diagnostics.noise_gain, "error variance of the self reversal, Σ h²"),
        *(
            (f"v({horizon})", gain, "the same up to this lag")
            for horizon, gain in diagnostics.horizon_gain.items()
        ),
        ("Σ|h|", diagnostics.absolute_gain, "worst-case gain of the reversal"),
        ("1/A(1)", diagnostics.dc_gain, "gain of a constant error"),
        ("Σ|c|", diagnostics.tap_sum, ""),
        ("‖c‖₂", diagnostics.tap_norm, ""),
        ("max|c|", diagnostics.tap_max, ""),
    ]
    for name, value, meaning in rows:
        table.add_row(name, f"{value:.6g}", meaning)
    console = Console(highlight=False)
    console.print(f"c = [{', '.join(f'{tap:.7g}' for tap in filter.taps)}], stride {filter.stride}")
    console.print(table)
    console.print("roots of p: " + ", ".join(_root(root) for root in diagnostics.roots))


def _root(root: complex) -> str:
    return f"{root.real:.4g}" if abs(root.imag) < 1e-12 else f"{root.real:.4g}{root.imag:+.4g}i"
