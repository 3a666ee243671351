"""Charts of Office files: every value beside its own category, as the chart shows both."""

from __future__ import annotations

from lxml import etree

from pace_integrations.documents.formats.charts import chart_lines

C = "http://schemas.openxmlformats.org/drawingml/2006/chart"
A = "http://schemas.openxmlformats.org/drawingml/2006/main"


def lines_of(series: str) -> list[str]:
    source = f'<c:chart xmlns:c="{C}" xmlns:a="{A}"><c:ser>{series}</c:ser></c:chart>'
    return list(chart_lines(etree.fromstring(source)))


def points(kind: str, code: str = "", **values: str) -> str:
    made = "".join(f'<c:pt idx="{k[1:]}"><c:v>{v}</c:v></c:pt>' for k, v in values.items())
    return f"<c:{kind}>{f'<c:formatCode>{code}</c:formatCode>' if code else ''}{made}</c:{kind}>"


NAME = "<c:tx><c:v>Sales</c:v></c:tx>"


def test_a_blank_value_moves_no_other_to_its_category():
    found = lines_of(
        f"{NAME}<c:cat>{points('strCache', _0='North', _1='South', _2='West')}</c:cat>"
        f"<c:val>{points('numCache', _0='4.5', _2='6.7')}</c:val>"
    )
    assert found == ["[Series Sales: North 4.5, South, West 6.7]"]
    found = lines_of(
        f"{NAME}<c:cat>{points('strCache', _0='North', _2='West')}</c:cat>"
        f"<c:val>{points('numCache', _0='4.5', _1='5', _2='6.7')}</c:val>"
    )
    assert found == ["[Series Sales: North 4.5, 5, West 6.7]"]


def test_categories_of_several_levels_are_read_from_the_outer_one():
    inner = points("lvl", _0="Bath", _1="York", _2="Lyon")
    outer = points("lvl", _0="England", _2="France")
    values = points("numCache", _0="1", _1="2", _2="3")
    found = lines_of(
        f"{NAME}<c:cat><c:multiLvlStrCache>{inner}{outer}</c:multiLvlStrCache></c:cat>"
        f"<c:val>{values}</c:val>"
    )
    assert found == ["[Series Sales: England Bath 1, England York 2, France Lyon 3]"]


def test_numbers_are_as_the_chart_shows_them():
    days = points("numCache", "yyyy\\-mm\\-dd", _0="45658", _1="45659")
    values = points("numCache", "0.0%", _0="0.125", _1="4.4000000000000004E-2")
    found = lines_of(f"{NAME}<c:cat>{days}</c:cat><c:val>{values}</c:val>")
    assert found == ["[Series Sales: 2025-01-01 12.5%, 2025-01-02 4.4%]"]
    plain = points("numCache", "General", _0="4.4000000000000004")
    assert lines_of(f"{NAME}<c:val>{plain}</c:val>") == ["[Series Sales: 4.4]"]


def test_words_that_people_wrote_on_points_are_read():
    label = (
        '<c:dLbls><c:dLbl><c:idx val="1"/><c:tx><c:rich><a:p><a:r><a:t>strike</a:t></a:r></a:p>'
        "</c:rich></c:tx></c:dLbl></c:dLbls>"
    )
    values = points("numCache", _0="7", _1="2")
    found = lines_of(f"{NAME}{label}<c:val>{values}</c:val>")
    assert found == ["[Series Sales: 7, 2 (strike)]"]
