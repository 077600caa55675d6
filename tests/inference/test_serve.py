"""`crepe serve`, a real process on a free port, asked by httpx and looked at by Chromium."""

import importlib.util
import json
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest

import crepe
from crepe.cli import main
from crepe.inference.serve import BODY_BYTES, EXPLAINED, TEXT_BYTES, TEXTS
from tests.support.classifiers import CLASSES, classifier, texts, write
from tests.support.paths import ROOT

CHROMIUM = Path("/usr/bin/chromium")
SECONDS = 300


@contextmanager
def serving(folder, *options):
    """The process, and a client of it."""
    command = [sys.executable, "-m", "crepe", "serve", str(folder), "--port", "0", "--device", "cpu", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            url = process.stdout.readline().split()[0]
            with httpx.Client(base_url=url, timeout=SECONDS) as client:
                yield process, client
        finally:
            process.kill()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("bag"), "bag")


@pytest.fixture(scope="module")
def client(folder):
    with serving(folder, "--rate", "10000/second") as (_, client):
        yield client


def post(client, **asked):
    return client.post("predict", json=asked)


def test_texts(client, folder):
    rows = texts(TEXTS)
    answer = post(client, texts=rows).raise_for_status().json()
    assert answer["classes"] == CLASSES
    expected = crepe.load(folder, "cpu").probabilities(rows)
    found = answer["predictions"]
    np.testing.assert_allclose([row["probabilities"] for row in found], expected, atol=1e-5)
    assert all(row["probability"] == max(row["probabilities"]) for row in found)
    assert "explanation" not in found[0]
    assert post(client, texts=[]).json()["predictions"] == []


def test_fields_and_reasons(client):
    (found,) = post(client, texts=[["purr", "unknown"]], explain=True).json()["predictions"]
    assert [piece for piece, _ in found["explanation"]] == ["purr", " ", "unknown"]
    assert found["explanation"][0][1] != 0 == found["explanation"][2][1]


@pytest.mark.parametrize(
    ("content", "status", "reason"),
    [
        ({"texts": ["a"] * (TEXTS + 1)}, 413, f"65 texts; at most {TEXTS} at a time"),
        ({"texts": ["a"] * (EXPLAINED + 1), "explain": True}, 413, f"at most {EXPLAINED} at a time to explain"),
        ({"texts": ["a", "ü" * (TEXT_BYTES // 2 + 1)]}, 413, "text 2 has 20,002 bytes; at most 20,000"),
        ({"texts": "a"}, 422, "texts: "),
        ({"texts": [1]}, 422, "texts.0"),
        ({"text": ["a"]}, 422, "texts: Field required"),
        ({"texts": [], "explain": "yes"}, 422, "explain: "),
        (b'{"texts": ["\\ud800"]}', 422, "text 1 is no text"),
        (b'{"texts": [', 422, ""),
        (b"\xff", 400, ""),
        (b"[" * 100_000, 400, ""),
    ],
)
def test_what_cannot_be_answered_is_refused_with_the_reason(client, content, status, reason):
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    answer = client.post("predict", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert reason in answer.json()["detail"]
    assert post(client, texts=["a"]).is_success


@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_body_is_not_taken(client, chunked):
    def pieces():
        for _ in range(BODY_BYTES // 10_000 + 1):
            yield b" " * 10_000

    body = pieces() if chunked else b"".join(pieces())
    answer = client.post("predict", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
    assert answer.json()["detail"] == "the body has more than 1,000,000 bytes"


def test_the_page_needs_nothing_from_elsewhere(client):
    answer = client.get("/")
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "http" not in answer.text
    assert "dogs &amp; &lt;b&gt;wolves&lt;/b&gt;" in answer.text
    assert client.get("/docs").status_code == 404


def test_many_at_a_time(client):
    rows = texts(40)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda text: post(client, texts=[text]).json()["predictions"][0]["class"], rows))
        pages = list(pool.map(lambda _: client.get("/").status_code, range(8)))
    assert answers == [row["class"] for row in post(client, texts=rows).json()["predictions"]]
    assert pages == [200] * 8


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_rate_and_a_clean_end(folder, number):
    with serving(folder, "--rate", "2/hour") as (process, client):
        answers = [post(client, texts=["a"]) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert 0 < int(answers[2].headers["Retry-After"]) <= 3600
        assert "more than 2 per 1 hour; try again in" in answers[2].json()["detail"]
        assert client.get("/").is_success
        process.send_signal(number)
        assert process.wait(SECONDS) == 0
        assert process.stderr.read() == ""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rate", "often"], "--rate often: is no rate; write it as 10/second or 100/minute"),
        (["--port", "70000"], "--port 70000: cannot be listened at"),
        (["--host", "no.such.host.invalid"], "--host no.such.host.invalid --port 8000: cannot be listened at"),
    ],
)
def test_refusals(folder, capsys, options, message):
    assert main(["serve", str(folder), *options]) == 1
    assert message in capsys.readouterr().err


def test_a_port_in_use_is_named(folder, capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert main(["serve", str(folder), "--port", str(port)]) == 1
    assert f"--host 127.0.0.1 --port {port}: cannot be listened at" in capsys.readouterr().err


@pytest.fixture(scope="module")
def browser():
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=CHROMIUM, timeout=1000 * SECONDS)
        yield browser
        browser.close()


@contextmanager
def opened(browser, client, **options):
    """The page, all whose messages to the console are faults."""
    context = browser.new_context(**options)
    context.set_default_timeout(1000 * SECONDS)
    page, faults = context.new_page(), []
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(str(client.base_url))
    yield page
    assert faults == []
    context.close()


def test_typing_moves_bars_and_colours_what_decided(browser, client):
    from playwright.sync_api import expect

    expect.set_options(timeout=1000 * SECONDS)
    with opened(browser, client) as page:
        box, percents, marks = (
            page.get_by_label("Text to classify"),
            page.locator(".percent"),
            page.locator("#marks mark"),
        )
        expect(percents).to_have_text(["–"] * 3)
        box.press_sequentially("  Purr purr purr")
        best = classifier("bag").predict(["purr purr purr"])[0]
        expect(page.locator(".best .name")).to_have_text(best)
        expect(marks).to_have_text(["Purr", "purr", "purr"])
        # Colours stand exactly behind the letters.
        assert page.locator("#marks").evaluate("node => node.textContent") == "  Purr purr purr\u200b"
        first = percents.all_text_contents()
        box.fill("unknown howl bark sing")
        other = classifier("bag").predict(["unknown howl bark sing"])[0]
        assert other != best
        expect(page.locator(".best .name")).to_have_text(other)
        expect(page.get_by_role("status")).to_contain_text(other)
        expect(marks.filter(has_text="unknown")).to_have_count(0)
        expect(marks.first).to_be_visible()
        assert percents.all_text_contents() != first
        box.fill("")
        expect(percents).to_have_text(["–"] * 3)


def test_a_text_that_is_too_long_is_said_so(browser, client):
    from playwright.sync_api import expect

    context = browser.new_context()
    page = context.new_page()
    page.goto(str(client.base_url))
    page.get_by_label("Text to classify").fill("x" * (TEXT_BYTES + 1))
    expect(page.get_by_role("status")).to_have_text("text 1 has 20,001 bytes; at most 20,000", timeout=1000 * SECONDS)
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_screen_in_both_schemes(browser, client, scheme):
    with opened(browser, client, viewport={"width": 360, "height": 640}, color_scheme=scheme) as page:
        page.get_by_label("Text to classify").fill("purr " * 80 + "W" * 200)
        page.locator("#marks mark").first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        # The text and the colours behind it take the same room, and nothing of either is cut off.
        boxes = page.evaluate("[...document.querySelectorAll('.layer')].map(n => [n.scrollHeight, n.clientHeight])")
        assert len({size for box in boxes for size in box}) == 1
        style = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)")
        assert (sum(style) > 3 * 128) == (scheme == "light")


def test_the_picture_of_the_documentation(browser, folder, tmp_path):
    spec = importlib.util.spec_from_file_location("screenshot_serve", ROOT / "docs/screenshot_serve.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.shoot(browser, folder, tmp_path / "serve.png", text="purr and bark")
    assert (tmp_path / "serve.png").read_bytes().startswith(b"\x89PNG")
