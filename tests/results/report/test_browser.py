"""The report in a real browser: the paper's whole study, made up, as it would be after all 168 cells were run."""

import json
from contextlib import contextmanager
from itertools import pairwise

import pytest
from playwright.sync_api import expect

from crepe.cli import main
from tests.support import whole
from tests.support.browser import chromium, watched
from tests.support.paths import inside
from tests.support.study import project

# To draw 336 learning curves is half a minute of a core.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

WIDTHS = [360, 1600]
CELL = "cell-ag_news-conv-small"
# Of what has the focus: a chip draws it around its text, a cell's button around the cell.
OUTLINE = """(focus => getComputedStyle(
    focus.matches('.chip input') ? focus.nextElementSibling : focus, focus.dataset.opens ? '::after' : null
).outlineStyle)(document.activeElement)"""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = project(tmp_path_factory.mktemp("whole"))
    with inside(folder):
        whole.write()
        assert main(["report"]) == 0
        part = {"datasets": ["ag_news"], "models": ["bow", "conv-small"]}
        command = ["report", "--without-texts", "--output", "results/paper/copy.html", "--config", json.dumps(part)]
        assert main(command) == 0
    return folder / "results/paper/report.html"


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def visit(browser, report):
    """A function that opens the report in a context; in the end nothing may have gone wrong in any of them."""

    @contextmanager
    def open_page(fragment="", width=1600, height=900, **settings):
        context = browser.new_context(viewport={"width": width, "height": height}, **settings)
        context.set_default_timeout(120_000)
        page = context.new_page()
        faults = watched(page)
        page.goto(report.as_uri() + fragment)
        yield page
        assert faults == []
        context.close()

    expect.set_options(timeout=120_000)
    return open_page


def names(page, table=".grid"):
    """The models of the lines that are shown, from top to bottom."""
    return page.locator(f"{table} tbody tr:visible th").all_inner_texts()


def column(page, number, attribute):
    cells = page.locator(".grid tbody tr:visible").locator(f"td:nth-child({number})").all()
    return [float(value) for cell in cells if (value := cell.get_attribute(attribute)) is not None]


def test_it_is_small_enough_and_quick(visit, report):
    assert report.stat().st_size < 5_000_000
    with visit() as page:
        assert page.locator(".grid td.ran").count() == 168
    with visit() as page:
        # The time that the page's own thread computes: other work on the machine is not in it.
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})
        page.reload()
        metrics = {item["name"]: item["value"] for item in session.send("Performance.getMetrics")["metrics"]}
        print(f"{report.stat().st_size:,} bytes, {metrics['TaskDuration']:.3f} s of the page's thread")
        assert 0 < metrics["TaskDuration"] < 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_it_fits_and_can_be_read(visit, width, scheme):
    with visit(width=width, color_scheme=scheme) as page:

        def fits(selector):
            return page.evaluate(
                "s => { const e = document.querySelector(s); return e.scrollWidth - e.clientWidth; }", selector
            )

        assert fits("html") == 0
        ink, paper = page.evaluate("(s => [s.color, s.backgroundColor])(getComputedStyle(document.body))")
        assert contrast(channels(ink), channels(paper)) > 7
        dark = sum(channels(paper)) < 3 * 128
        assert dark == (scheme == "dark")
        for selector in (".lead", ".ran small", ".better .delta", ".worse .delta", ".same .delta", ".blank small"):
            for text in page.locator(selector).all()[:20]:
                colour = text.evaluate("e => getComputedStyle(e).color")
                behind = text.evaluate("e => getComputedStyle(e.closest('td') ?? document.body).backgroundColor")
                assert contrast(channels(colour), blended(behind, paper)) > 4.5, selector
        page.locator(f"[data-opens={CELL}]").click()
        expect(page.locator(f"#{CELL}")).to_be_visible()
        assert fits("html") == 0
        assert fits(f"#{CELL}") == 0


def channels(colour):
    """Red, green and blue, 0 to 255, of a computed colour."""
    name, _, inside = colour.partition("(")
    numbers = [float(part) for part in inside.rstrip(")").replace(",", " ").split() if part[0].isdigit()]
    if name == "color":
        numbers = [255 * number for number in numbers]
    return numbers[:3]


def blended(colour, behind):
    """Channels of a colour that may be transparent on one that is not."""
    parts = colour.replace("/", " ").replace(",", " ").rstrip(")").split("(")[1].split()
    opacity = float(parts[-1]) if len(parts) > 3 + colour.startswith("color(") else 1.0
    pairs = zip(channels(colour), channels(behind), strict=True)
    return [opacity * front + (1 - opacity) * back for front, back in pairs]


def contrast(one, other):
    """Ratio by WCAG 2."""

    def luminance(parts):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (c / 255 for c in parts)]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_a_cell_opens_its_run_and_the_address_leads_there(visit):
    with visit() as page:
        page.locator(f"[data-opens={CELL}]").click()
        dialog = page.get_by_role("dialog", name="Sm. Conv. on AG's News")
        expect(dialog).to_be_visible()
        expect(dialog.get_by_text("crepe train ag_news conv-small --seed 0")).to_be_visible()
        assert dialog.locator(".wrong li").count() == 5
        assert dialog.locator(".kernels li").count() == 6
        assert dialog.locator(".kernels code").count() == 48
        assert page.url.endswith(f"#{CELL}")
        picture = dialog.locator(".final").first
        assert picture.bounding_box()["height"] > 50
        assert picture.evaluate("e => getComputedStyle(e).backgroundImage").startswith('url("data:image/png;base64,')
        dialog.get_by_role("button", name="Close").click()
        expect(dialog).to_be_hidden()
        assert "#" not in page.url
        page.locator(f"[data-opens={CELL}]").click()
        page.mouse.click(2, 400)
        expect(dialog).to_be_hidden()
    with visit(f"#{CELL}") as page:
        expect(page.locator(f"#{CELL}")).to_be_visible()
    with visit("#no-such-cell") as page:
        expect(page.locator("dialog[open]")).to_have_count(0)


def test_columns_sort_both_ways_and_back(visit):
    with visit() as page:
        order = names(page)
        head = page.locator(".grid thead th").nth(1)
        head.get_by_role("button").click()
        assert head.get_attribute("aria-sort") == "ascending"
        ours = column(page, 2, "data-ours")
        assert len(ours) == 22
        assert ours == sorted(ours)
        head.get_by_role("button").click()
        assert head.get_attribute("aria-sort") == "descending"
        assert column(page, 2, "data-ours") == ours[::-1]
        page.locator("#sort-by").select_option("delta")
        delta = column(page, 2, "data-delta")
        assert delta == sorted(delta, reverse=True)
        page.locator("#sort-by").select_option("paper")
        paper = column(page, 2, "data-paper")
        assert paper == sorted(paper, reverse=True)
        # Sogou has no figures with synonyms: such lines come last, in either direction.
        sogou = page.locator(".grid thead th").nth(2).get_by_role("button")
        for _ in range(2):
            sogou.click()
            assert all("Th." in name for name in names(page)[-10:-2])
        assert page.locator("[aria-sort=ascending], [aria-sort=descending]").count() == 1
        page.locator(".grid thead th").first.get_by_role("button").click()
        assert names(page) == order


def test_filters_show_families_and_datasets(visit):
    with visit() as page:
        everything = names(page)
        page.get_by_label("n-grams", exact=True).check()
        page.get_by_label("LSTM", exact=True).check()
        assert names(page) == ["ngrams", "ngrams TFIDF", "LSTM"]
        page.get_by_label("DBPedia", exact=True).check()
        assert page.locator(".grid thead th:visible").all_inner_texts() == ["Model", "DBPedia"]
        assert page.locator(".grid tbody td:visible").count() == 3
        expect(page.locator("#shown")).to_have_text("Lines shown: 3; columns: 1.")
        page.get_by_role("button", name="Show all").click()
        expect(page.locator("#shown")).to_have_text("")
        assert names(page) == everything
        page.get_by_label("Only runs", exact=True).check()
        assert len(names(page)) == 22
        page.get_by_label("References", exact=True).check()
        expect(page.locator(".grid")).to_be_hidden()


def test_the_keyboard_is_enough(visit):
    with visit() as page:
        for _ in range(8):
            page.keyboard.press("Tab")
        page.keyboard.press("Space")
        expect(page.get_by_label("AG's News", exact=True)).to_be_checked()
        while page.evaluate("document.activeElement.dataset.opens") != "cell-ag_news-bow":
            page.keyboard.press("Tab")
            assert page.evaluate("document.activeElement !== document.body"), "no such button can be reached"
            assert page.evaluate(OUTLINE) == "solid"
        page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog", name="BoW on AG's News")
        expect(dialog).to_be_visible()
        for _ in range(12):
            page.keyboard.press("Tab")
            assert page.evaluate("!document.activeElement.closest('main')"), "the focus leaves the dialog"
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
        assert page.evaluate("document.activeElement.dataset.opens") == "cell-ag_news-bow"


def test_everything_has_a_name_and_a_heading_in_order(visit):
    with visit() as page:
        for role in ("button", "checkbox", "combobox", "region", "table", "img"):
            assert page.get_by_role(role).count() > 0, role
        unnamed = "[...document.querySelectorAll('table')].filter(t => !t.caption?.textContent.trim()).length"
        assert page.evaluate(unnamed) == 0
        snapshot = page.locator("main").aria_snapshot()
        assert "better than the paper" in snapshot
        page.locator(f"[data-opens={CELL}]").click()
        levels = page.locator(f"#{CELL} :is(h2, h3, h4, h5)").evaluate_all("all => all.map(e => Number(e.tagName[1]))")
        assert levels[0] == 2
        assert all(after <= before + 1 for before, after in pairwise(levels))


def test_without_scripts_the_runs_are_on_the_page(visit):
    with visit(java_script_enabled=False) as page:
        expect(page.locator(f"#{CELL}")).to_be_visible()
        expect(page.locator("#filters")).to_be_hidden()


def test_a_copy_to_pass_on_has_no_piece_of_a_text(report):
    mine, copy = report.read_text(), (report.parent / "copy.html").read_text()
    for piece in ("helium", "nobody"):
        assert piece in mine
        assert piece not in copy
    assert "<blockquote>" not in copy
    assert 'class="answers"' not in copy
    assert "This copy has no texts from the datasets." in copy
