"""What the zeta study found, in a sentence or two."""

from specseq.report.page.answers import Finding, Found, in_brackets, one

PUBLISHED, CAUSAL = "zeta/models/memory_published", "zeta/models/memory_causal"


def finding(found: Found) -> Finding | None:
    """Does the published mask leak, and what is memory worth without the leak?"""
    table = found.table("zeta")
    leaking, causal = (one(table, group=group, set="real") for group in (PUBLISHED, CAUSAL))
    if leaking is None:
        return None
    moved = leaking["causality_violation"]
    text = (
        "The published memory mask leaks: changing later spacings moves earlier outputs by up to "
        f"{moved:.3g}."
        if moved > 0
        else "Under the published mask, no later spacing moves an earlier output of the memory model."
    )
    gates = [leaking["gate"]]
    if causal is not None:
        gates.append(causal["gate"])
        nll = in_brackets(causal["nll"], causal["nll_low"], causal["nll_high"])
        text += f" Under a causal mask, the memory model has an NLL of {nll} nats, "
        text += f"against {causal['ar1']:.3f} for AR(1)"
        row = found.claim("003.s3.final.nll.causal")
        if row is not None:
            apart = in_brackets(row["measured"], row["low"], row["high"])
            text += f"; the difference from the model without memory is {apart} nats"
        text += "."
    return Finding(text, tuple(gate for gate in gates if isinstance(gate, str)))
