"""What the STU study found, in a sentence or two."""

from specseq.report.gates import UNDECIDABLE
from specseq.report.page.answers import Finding, Found, in_brackets


def finding(found: Found) -> Finding | None:
    """Do spectral transform units take the place of attention in forecasts?"""
    table = found.table("stu")
    if table.empty:
        return None
    table = table[table["benchmark"] == table["benchmark"].iloc[0]]
    table = table[table["term"] == table["term"].iloc[0]]  # all of them, or the only one
    hybrids = table[(table["group"] != table["baseline"]) & table["ratio"].notna()]
    if hybrids.empty:
        return None
    counts = hybrids["verdict"].value_counts()
    best = hybrids.sort_values("ratio").iloc[0]
    name = best["group"].split("/", 1)[1].replace("_", " ")
    ratio = in_brackets(best["ratio"], best["low"], best["high"])
    if len(hybrids) == 1:
        text = (
            f"One hybrid ({name}) is compared with attention trained in the same way: it has {ratio} times "
            f"attention's MASE ({best['verdict']})."
        )
    else:
        split = " and ".join(
            f"{count} {'is' if count == 1 else 'are'} {verdict}" for verdict, count in counts.items()
        )
        text = (
            f"Of {len(hybrids)} hybrids compared with attention trained in the same way, {split}. "
            f"The best, picked in hindsight ({name}), has {ratio} times attention's MASE."
        )
    # Those whose baseline has learnt too little are counted in the text; they do not close the others' gate.
    decidable = hybrids[hybrids["verdict"] != UNDECIDABLE]
    return Finding(text, tuple((hybrids if decidable.empty else decidable)["gate"].dropna()))
