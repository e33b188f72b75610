import json

import pytest

from likewise.report.pages.label_curve import LabelPoint, write_label_curve_page

ARMS = {
    "labels <only>": [
        LabelPoint(None, 0.9, 0.89, 0.91, 60),
        LabelPoint(2, 0.55, 0.5, 0.58, 20),
        LabelPoint(10, 0.76, 0.75, 0.77, 20),
    ],
    "SimCLR": [LabelPoint(2, 0.6, 0.57, 0.63, 110), LabelPoint(4, 0.65, 0.63, 0.67, 110)],
    "SupCon": [LabelPoint(None, 0.912, 0.907, 0.917, 100)],
}  # fmt: skip


def drawn(page: str) -> dict:
    return json.loads(page.split('data-chart="label-curve">')[1].split("</script>")[0])["figure"]


def test_lines_intervals_and_the_place_of_all(tmp_path):
    page = write_label_curve_page(
        ARMS, "Two labels <bought> 55%.", tmp_path / "demo.html", all_labels=1000
    ).read_text()
    figure = drawn(page)
    first = figure["data"][0]
    # Plotly reads entities, and would read <only> as formatting.
    assert first["name"] == "labels &lt;only&gt;"
    assert first["x"] == [2, 10, 1000] and first["y"] == [0.55, 0.76, 0.9]
    assert first["error_y"]["array"] == pytest.approx([0.03, 0.01, 0.01])
    assert first["error_y"]["arrayminus"] == pytest.approx([0.05, 0.01, 0.01])
    level = figure["data"][2]
    assert level["x"] == [2, 1000] and level["y"] == [0.912, 0.912]
    axis = figure["layout"]["xaxis"]
    assert axis["type"] == "log"
    assert axis["tickvals"] == [2, 4, 10, 1000] and axis["ticktext"] == [
        "2",
        "4",
        "10",
        "all (1,000)",
    ]
    assert "Two labels &lt;bought&gt; 55%." in page


def test_the_table_has_a_dash_where_nothing_was_measured(tmp_path):
    page = write_label_curve_page(ARMS, "", tmp_path / "demo.html").read_text()
    row = page.split('<th scope="row">SimCLR</th>')[1].split("</tr>")[0]
    assert row.count("<td>") == 4 and row.count("–") == 2
    assert "60.0%" in row and "57.0 to 63.0" in row
    # "all" has no number: beyond the largest
    assert drawn(page)["layout"]["xaxis"]["tickvals"] == [2, 4, 10, 40]
