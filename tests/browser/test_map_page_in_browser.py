"""The page of a data map as its readers use it."""

import time
from itertools import pairwise

import pytest
from reader import Reader

pytestmark = pytest.mark.browser

RUN = "window.ran = true"
HOSTILE = f"</script><script>{RUN}</script><img src=x onerror='{RUN}'> & \u202eright to left \x00 \U0001f600"
POINTS = [
    ("steady", ("A dog sleeps.", "An animal rests."), "entailment", 0.05, 0.9),
    ("torn", ("A man (tall) sings.", "He sings [badly]."), "neutral", 0.4, 0.5),
    ("wrong", ("Two women run.", "They sit."), "contradiction", 0.1, 0.15),
    ("wavering", ("Snow falls.", "It is STRAßE weather."), "neutral", 0.3, 0.6),
    ('odd, "uid"\n=1+1', (HOSTILE, "Nothing."), HOSTILE, 0.2, 0.7),
    *((f"crowd-{row}", (f"Text {row}.", "More."), "entailment", 0.02 + row / 1000, 0.8) for row in range(55)),
]
UIDS = [point[0] for point in POINTS]


@pytest.fixture(scope="module")
def page_file(tmp_path_factory, make_page):
    return make_page(tmp_path_factory.mktemp("page"), POINTS, fraction=0.05, title=f"Map of {HOSTILE}")


@pytest.fixture
def reader(driver, downloads, page_file):
    reader = Reader(driver, downloads)
    reader.open(page_file)
    yield reader
    assert reader.script("return window.ran") is None
    assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []


def keys():
    from selenium.webdriver import Keys

    return Keys


def test_pointing_at_an_instance_shows_it(reader):
    reader.point(0.4, 0.5).perform()
    reader.until(lambda: "torn" in reader.details)
    for text in ("A man (tall) sings.", "He sings [badly].", "neutral", "ambiguous", "0.500", "0.400"):
        assert text in reader.details
    assert reader.one("#details svg").get_attribute("aria-label").endswith("by epoch: 0.10, 0.90")
    reader.point(0.45, 0.95).perform()
    reader.until(lambda: reader.details == "None chosen.")


def test_a_click_keeps_an_instance_until_escape(reader):
    reader.point(0.1, 0.15).click().perform()
    reader.point(0.45, 0.95).perform()
    reader.until(lambda: "Two women run." in reader.details)
    assert "hard-to-learn" in reader.details and "0 of 2 epochs" in reader.details
    reader.press(keys().ESCAPE)
    reader.until(lambda: reader.details == "None chosen.")


def test_hostile_text_is_shown_as_text(reader):
    assert reader.driver.title.startswith("Map of </script><script>")
    reader.point(0.2, 0.7).click().perform()
    reader.until(lambda: "odd" in reader.details)
    assert reader.script("return document.querySelector('#details .text').textContent") == HOSTILE
    assert reader.all("#details img, #details script, #rows img, #labels img") == []


def test_a_rectangle_selects_and_its_uids_are_exported(reader):
    reader.brush(0.15, 0.45, 0.45, 0.75)
    reader.until(lambda: reader.count == 3)
    assert reader.listed()[:2] == ["torn", "wavering"]
    rows = reader.exported()
    assert [row["uid"] for row in rows] == ["torn", "wavering", UIDS[4]]
    assert rows[2]["label"] == HOSTILE
    assert (rows[0]["variability"], rows[0]["confidence"]) == ("0.4000", "0.5000")
    reader.press(keys().ESCAPE)
    reader.until(lambda: reader.count == len(POINTS))


def test_a_rectangle_selects_among_what_passes_the_filters(reader):
    reader.one("#labels input").click()
    reader.brush(0.0, 0.1, 0.45, 0.95)
    chosen = [row["uid"] for row in reader.exported()]
    first = sorted({point[2] for point in POINTS})[0]
    assert sorted(chosen) == sorted(point[0] for point in POINTS if point[2] != first)


def test_everything_is_exported_without_a_selection(reader):
    exported = [row["uid"] for row in reader.exported()]
    assert sorted(exported) == sorted(UIDS) and exported[:2] == ["torn", "wavering"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("WOMEN", {"wrong"}),
        ("(tall)", {"torn"}),
        ("[badly]", {"torn"}),
        ("steady", {"steady"}),
        ("</script>", {UIDS[4]}),
        ("strasse", set()),
        ("a.dog", set()),
        ("snow", {"wavering"}),
    ],
)
def test_search_finds_texts_and_uids_as_they_are_written(reader, query, found):
    reader.press("/", *query)
    reader.until(lambda: "Searching" not in reader.one("#count").text and reader.count == len(found))
    assert reader.script("return Array.from(listed).length") == len(found)
    if found:
        assert {row["uid"] for row in reader.exported()} == found
    else:
        assert not reader.one("#export").is_enabled()


def test_the_slash_focuses_search_and_is_typed_there(reader):
    reader.press("/")
    assert reader.script("return document.activeElement.id") == "query"
    reader.press("/")
    assert reader.one("#query").get_attribute("value") == "/"


def test_filters_by_region_and_label(reader):
    region = reader.one("#region")
    for name, expected in (("ambiguous", 3), ("hard", 3), ("easy", 56), ("all", 60)):
        region.find_element("css selector", f"option[value={name}]").click()
        reader.until(lambda expected=expected: reader.count == expected)
    for box in reader.all("#labels input"):
        box.click()
    reader.until(lambda: reader.count == 0)
    reader.point(0.4, 0.5).click().perform()
    assert reader.details == "None chosen."
    reader.mouse().send_keys(keys().ESCAPE).perform()
    reader.until(lambda: reader.count == 60)


def test_arrows_move_between_instances_and_with_shift_select(reader):
    Keys = keys()
    reader.script("document.getElementById('plot').focus()")
    reader.press(Keys.ARROW_RIGHT)
    reader.until(lambda: "torn" in reader.details)
    reader.press(Keys.ARROW_UP)
    assert reader.script("return state.kept") == 0
    reader.press(Keys.ARROW_LEFT)
    reader.until(lambda: "wavering" in reader.details)
    reader.press(Keys.ARROW_RIGHT)
    reader.until(lambda: "torn" in reader.details)
    assert reader.one("#details").get_attribute("aria-live") == "polite"
    reader.mouse().key_down(Keys.SHIFT).send_keys(Keys.ARROW_LEFT).key_up(Keys.SHIFT).perform()
    reader.until(lambda: reader.count == 2)
    assert [row["uid"] for row in reader.exported()] == ["torn", "wavering"]


def test_tab_reaches_every_control_and_shows_where_it_is(reader):
    reached = []
    for _ in range(18):
        reader.press(keys().TAB)
        code = "const e = document.activeElement; return [e.id || e.type, getComputedStyle(e).outlineStyle]"
        reached.append(reader.script(code))
    names = [name for name, _ in reached]
    for name in ("theme", "query", "region", "checkbox", "plot", "export", "button"):
        assert name in names
    assert {outline for name, outline in reached if name != "body"} == {"solid"}


def test_the_list_has_pages_and_its_entries_open(reader):
    assert len(reader.all("#rows li")) == 50 and not reader.one("#previous").is_enabled()
    reader.one("#next").click()
    reader.until(lambda: len(reader.all("#rows li")) == 10)
    assert not reader.one("#next").is_enabled()
    entry = reader.all("#rows button")[0]
    uid = entry.find_element("css selector", ".one").text
    entry.click()
    reader.until(lambda: uid in reader.details)
    assert entry.get_attribute("aria-current") == "true"


def test_zoom_shows_the_rectangle_and_the_whole_map_again(reader):
    assert not reader.one("#zoom").is_enabled()
    reader.brush(0.25, 0.45, 0.45, 0.65)
    reader.one("#zoom").click()
    left, right = reader.script("return [plot.view.left, plot.view.right]")
    assert left == pytest.approx(0.25, abs=0.002) and right == pytest.approx(0.45, abs=0.002)
    reader.point(0.4, 0.5).perform()
    reader.until(lambda: "torn" in reader.details)
    reader.one("#whole").click()
    assert reader.script("return plot.view.right") == 0.5


def painted(reader):
    """How many pixels of the canvas differ from its background."""
    code = (
        "const c = plot.canvas, d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; let n = 0;"
    )
    code += (
        "for (let i = 0; i < d.length; i += 4) n += Math.abs(d[i] - d[i + 1]) + Math.abs(d[i + 1] - d[i + 2])"
    )
    return reader.script(code + " > 60; return n")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_theme_is_the_readers_and_can_be_switched(reader, page_file, theme):
    reader.open(page_file, theme=theme)
    other = {"light": "dark", "dark": "light"}[theme]
    background = "return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    for worn in (theme, other):
        assert (max(reader.script(background)) < 60) == (worn == "dark")
        assert painted(reader) > 500
        reader.one("#theme").click()


def luminance(colour):
    parts = [
        value / 255 / 12.92 if value <= 10 else ((value / 255 + 0.055) / 1.055) ** 2.4 for value in colour
    ]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_has_contrast_and_levels_grow_lighter(reader, page_file, theme):
    reader.open(page_file, theme=theme)
    code = "const s = getComputedStyle(document.documentElement); return arguments[0].map(n => "
    code += "rgb(s.getPropertyValue(n).trim()))"
    paper, panel, ink, quiet, accent = reader.script(
        code, ["--paper", "--panel", "--ink", "--quiet", "--accent"]
    )
    for ground in (paper, panel):
        for text in (ink, quiet, accent):
            low, high = sorted([luminance(ground), luminance(text)])
            assert (high + 0.05) / (low + 0.05) >= 4.5
    levels = [luminance(colour) for colour in reader.script("return palette(6).scale")]
    assert levels == sorted(levels) and min(b - a for a, b in pairwise(levels)) > 0.01


@pytest.mark.parametrize("width", [360, 768])
def test_a_narrow_window_shows_everything(reader, page_file, width):
    reader.open(page_file, width=width, height=800)
    assert reader.script("return document.documentElement.scrollWidth") <= width
    assert reader.one("#plot").size["width"] > 0.85 * width
    box = reader.script("return document.querySelector('#points').getBoundingClientRect().toJSON()")
    assert box["right"] <= width and box["width"] > 200
    reader.point(0.4, 0.5).click().perform()
    reader.until(lambda: "torn" in reader.details)


def test_a_window_that_changes_is_drawn_again(reader):
    metrics = {"width": 700, "height": 900, "deviceScaleFactor": 2, "mobile": False}
    reader.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    ratio = "return Math.abs(plot.canvas.width - 2 * plot.canvas.getBoundingClientRect().width) <= 2"
    reader.until(lambda: reader.script(ratio + " && plot.canvas.getBoundingClientRect().right <= 700"))
    reader.point(0.4, 0.5).perform()
    reader.until(lambda: "torn" in reader.details)


def test_nothing_is_fetched(reader):
    reader.exported()
    names = reader.script("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert [name for name in names if not name.startswith("blob:")] == []


def test_code_from_elsewhere_is_refused(reader):
    reader.script(
        f"const s = document.createElement('script'); s.textContent = '{RUN}'; document.body.append(s)"
    )
    reader.script(f"document.body.insertAdjacentHTML('beforeend', `<img src=x onerror=\"{RUN}\">`)")
    time.sleep(0.1)
    assert reader.script("return window.ran") is None
    assert any("Content Security Policy" in entry["message"] for entry in reader.driver.get_log("browser"))


def test_a_page_without_all_texts_says_so(driver, downloads, make_page, tmp_path, monkeypatch):
    monkeypatch.setattr("ftft.results.map_page.MOST_TEXT_BYTES", 300)
    reader = Reader(driver, downloads)
    reader.open(make_page(tmp_path, POINTS))
    assert "of 60 instances are in this page" in reader.one("#notice").text
    missing = reader.script("return readChunk(0).then((chunk) => chunk[0].indexOf(null))")
    reader.script("keep(arguments[0])", missing)
    reader.until(lambda: "This page does not hold its text." in reader.details)


@pytest.mark.slow
def test_four_hundred_thousand_instances_stay_quick(driver, downloads, make_page, tmp_path):
    import numpy as np

    random, instances = np.random.default_rng(0), 400_000
    confidence = random.uniform(0.05, 0.95, instances)
    variability = random.uniform(0.01, 0.9, instances) * np.minimum(confidence, 1 - confidence)
    points = [
        (f"instance-{row}", (f"premise {row} " * 8, f"hypothesis {row} " * 4), "xyz"[row % 3], v, c)
        for row, (v, c) in enumerate(zip(variability.tolist(), confidence.tolist(), strict=True))
    ]
    reader = Reader(driver, downloads)
    reader.open(make_page(tmp_path, points))
    timed = "const start = performance.now(); for (let i = 0; i < 5; i++) %s; "
    timed += "return (performance.now() - start) / 5"
    assert reader.script(timed % "plot.draw(lit)") < 500
    assert reader.script(timed % "plot.nearest(200 + i, 200, lit)") < 16
    assert reader.script(timed % "plot.beside(i, 1, 0, lit)") < 100
