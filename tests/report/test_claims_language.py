"""The claims' YAML: templates, shared queries, printed figures, and refusals that name the place."""

import re
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specseq.errors import InputError
from specseq.report.claims import load
from specseq.report.claims.language import Query
from specseq.report.claims.relations import Relation
from specseq.report.claims.rounding import rounded, rounded_list
from specseq.settings import read
from specseq.studies.schema import claims_text

ROOT = Path(__file__).parents[2]


def write(folder: Path, body: str, note: str = "000") -> Path:
    head = f'note: "{note}"\ntitle: A note\n'
    path = folder / f"{note}_note.yaml"
    path.write_text(head + textwrap.dedent(body))
    return path


ONE = """
    claims:
      - id: s1.gap
        place: section 1
        statement: Two and two
          are four.
        published: "4"
        quantity: {arithmetic: total, of: {of: [2, 2]}}
        relation: {about: 4, within: 0}
"""


def test_one_claim(tmp_path: Path) -> None:
    (claim,) = load([write(tmp_path, ONE)])
    assert claim.id == "000.s1.gap"
    assert claim.spec.statement == "Two and two are four."
    assert (claim.spec.status, claim.spec.fails, claim.spec.scales) == ("live", "inconsistent", ())


def test_a_table_gives_a_claim_for_each_row_and_template(tmp_path: Path) -> None:
    body = """
        queries:
          scored: {file: tables/x.parquet, where: {metric: MASE}, reduce: gmean}
        tables:
          - id: s1.t
            place: Section 1, the table
            columns: [name, taps, oracle, percent]
            rows: |
              a | [-0.454, 0] | 0.8878 | **-13.3%**
              b | [0, 0.1]    | 0.9820 | -4.1%
            claims:
              - id: "{name}.percent"
                place: "row {name}"
                statement: "{name} changes the error by {percent}."
                published: "{percent}"
                quantity: {arithmetic: percent_change, of: {value: "{oracle}", base: "1.0238"}}
                relation: {rounds_to: "{percent}"}
                explain: {reproduced: "It is {measured} for {name}."}
              - id: "{name}.{side}"
                place: "row {name}"
                only: {name: [b]}
                each: {side: [oracle, self]}
                statement: "{side}"
                quantity: {ratio: [{use: scored, where: {run: "{name}", side: "{side}"}}, {use: scored}]}
                relation: {below: 1}
                scales: [paper]
    """
    claims = load([write(tmp_path, body)])
    assert [c.id for c in claims] == [
        "000.s1.t.a.percent",
        "000.s1.t.b.percent",
        "000.s1.t.b.oracle",
        "000.s1.t.b.self",
    ]
    assert claims[0].spec.place == "Section 1, the table, row a"
    assert claims[0].spec.explain == {"reproduced": "It is {measured} for a."}
    assert claims[0].region.low == pytest.approx(-13.35)
    left, right = claims[3].quantity.ratio
    assert left.query.where == {"metric": "MASE", "run": "b", "side": "self"}
    assert right.query == Query("tables/x.parquet", {"metric": "MASE"}, reduce="gmean")


COMPUTED = "arithmetic: total, of: {of: [2, 2]}"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("total", "totl"), "arithmetic: unknown check 'totl'; did you mean total?"),
        (("{of: [2, 2]}", "{off: [2, 2]}"), "total: .* it takes"),
        (("within: 0", "within: 0, below: 2"), "below, about, within is given; give one of"),
        (("statement:", "statment:"), "unknown key; did you mean statement"),
        (("place:", "colour: red\n        place:"), "colour: unknown key"),
        (("id: s1.gap", "id: S1 gap"), "id: 'S1 gap' is not"),
        ((COMPUTED, "query: {file: /etc/x}"), "give a path under the scale's folder"),
        ((COMPUTED, "query: {file: x, having: 1}"), "having: unknown key"),
        ((COMPUTED, "query: {file: x, pick: best}"), "pick: 'best' is unknown"),
        ((COMPUTED, "ratio: [{query: {file: x}}]"), "is missing|length|items"),
        ((COMPUTED, "use: nothing"), "no shared query 'nothing'"),
        ((COMPUTED, "python: 'print(1)'"), "is not a quantity: arithmetic, query"),
        ((COMPUTED, "trend: {of: {query: {file: x}}}"), "trend.x: is missing"),
    ],
)
def test_bad_yaml_is_refused_with_its_place(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    path = write(tmp_path, ONE.replace(*change))
    with pytest.raises(InputError, match=message) as caught:
        load([path])
    assert str(caught.value).startswith(str(path))


def test_bad_tables_are_refused(tmp_path: Path) -> None:
    body = """
        tables:
          - id: t
            place: here
            columns: [name, x]
            rows: "a | 1 | 2"
            claims:
              - {id: "{name}", place: p, statement: s, relation: {below: 1},
                 quantity: {arithmetic: value, of: {of: "{y}"}}}
    """
    with pytest.raises(InputError, match="3 cells for 2 columns"):
        load([write(tmp_path, body)])
    with pytest.raises(InputError, match="no column 'y'"):
        load([write(tmp_path, body.replace("a | 1 | 2", "a | 1"))])


def test_ids_are_unique_over_all_notes(tmp_path: Path) -> None:
    twice = ONE + textwrap.indent(textwrap.dedent(ONE).split("claims:")[1].lstrip("\n"), "    ")
    with pytest.raises(InputError, match=r"'000\.s1\.gap' is already in .*000_note\.yaml"):
        load([write(tmp_path, twice)])
    assert len(load([write(tmp_path, ONE)])) == 1


def test_missing_files_and_broken_yaml(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there are no claim files"):
        load([])
    with pytest.raises(InputError, match="no such file"):
        load([tmp_path / "nowhere.yaml"])
    (tmp_path / "000.yaml").write_text("note: [")
    with pytest.raises(InputError, match="did not find expected node content"):
        load([tmp_path / "000.yaml"])


@pytest.mark.parametrize(
    ("text", "value", "half"),
    [("0.9820", 0.982, 5e-5), ("**-13.3%**", -13.3, 0.05), ("+2.9", 2.9, 0.05), ("~12.5M", 12.5, 0.05),
     ("10x", 10, 0), ("703,125", 703125, 0), ("8.9e-4", 8.9e-4, 5e-6), ("−0.069", -0.069, 5e-4)],
)  # fmt: skip
def test_printed_figures(text: str, value: float, half: float) -> None:
    number = rounded(text)
    assert number.value == pytest.approx(value)
    assert number.half == pytest.approx(half)


def test_printed_lists_and_no_rounded_list() -> None:
    assert [n.value for n in rounded_list("[-0.454, 0, -0.306]")] == [-0.454, 0, -0.306]
    assert [n.value for n in rounded_list([1, "2.5"])] == [1, 2.5]
    with pytest.raises(InputError, match="'varies' is not a number"):
        rounded("varies")


@given(st.integers(-(10**7), 10**7), st.integers(1, 6))
def test_a_printed_figure_covers_what_rounds_to_it(units: int, digits: int) -> None:
    number = rounded(f"{units / 10**digits:.{digits}f}")
    assert number.low <= units / 10**digits <= number.high
    assert number.half == pytest.approx(0.5 / 10**digits)


@pytest.mark.parametrize(
    ("spec", "inside", "outside"),
    [
        ({"below": 1}, 0.999, 1.0), ({"at_most": 1}, 1.0, 1.001), ({"above": "0"}, 0.1, 0.0),
        ({"at_least": 2}, 2.0, 1.9), ({"between": [1, "2"]}, 1.5, 2.1),
        ({"rounds_to": "-13.3%"}, -13.349, -13.351),
        ({"about": "1.29", "within_percent": 2}, 1.31, 1.32), ({"about": 5, "within": 0.5}, 4.5, 4.4),
        ({"rounds_to": "11x"}, 11.49, 11.51),
    ],
)  # fmt: skip
def test_relations(spec: dict, inside: float, outside: float) -> None:
    relation = read(Relation, spec, "here").region
    assert relation.contains(inside)
    assert not relation.contains(outside)
    assert relation.meets(outside - 1, inside) or relation.meets(inside, outside + 1)


def test_a_relation_has_one_kind() -> None:
    for spec in ({"below": 1, "above": 0}, {"within": 1}, {"about": 1}, {"roughly": 1}):
        with pytest.raises(InputError):
            read(Relation, spec, "here")


def test_the_documentations_examples_load(tmp_path: Path) -> None:
    """What the documentation shows as YAML is accepted as it stands."""
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/claims.md").read_text(), flags=re.S)
    assert len(blocks) == 2
    ids = [claim.id for block in blocks for claim in load([write(tmp_path, block)])]
    assert ids == ["000.s5.speed", *(f"000.s1.chebyshev.chebyshev_d{d}.oracle_percent" for d in (3, 4))]


def test_the_schema_is_that_of_the_types() -> None:
    """If not: ``python -m specseq.studies.schema``."""
    assert (ROOT / "workflow/schemas/claims.schema.yaml").read_text() == claims_text()
