"""`crepe serve`, a real process on a free port, asked by httpx and looked at by Chromium."""

import asyncio
import importlib.util
import json
import re
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import httpx
import limits
import numpy as np
import pytest

import crepe
from crepe.cli import main
from crepe.errors import CrepeError
from crepe.inference.classifier import Classifier
from crepe.inference.serve import BODY_BYTES, CONNECTIONS, EXPLAINED, TEXT_BYTES, TEXTS, application, listen
from tests.support.classifiers import CLASSES, classifier, texts, write
from tests.support.load import post_all, post_until_closed
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow

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
        (b'{"texts": ["\\ud800"]}', 422, "text 1 is not text: it has half of a surrogate pair"),
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


@pytest.mark.parametrize(("kind", "tolerance"), [("bag", 0), ("tf-idf", 0), ("characters", 1e-6), ("lstm", 1e-6)])
def test_answers_in_company_are_those_of_single_requests(tmp_path, kind, tolerance):
    requests = [{"texts": [text], "explain": number % 16 == 0} for number, text in enumerate(texts(160))]
    with serving(write(tmp_path, kind), "--rate", "10000/second") as (_, client):
        url = str(client.base_url)
        alone = [answer.content for answer in post_all(url, requests, clients=1)]
        company = [answer.content for answer in post_all(url, requests, clients=32)]
        assert float(metrics(client)["crepe_batch_texts_count"]) < 2 * len(requests) - 20  # There were batches.
    for one, other in zip(alone, company, strict=True):
        (expected,), (found,) = one["predictions"], other["predictions"]
        np.testing.assert_allclose(found["probabilities"], expected["probabilities"], rtol=0, atol=1.01 * tolerance)
        assert ("explanation" in found) == ("explanation" in expected)
        if tolerance == 0:
            assert one == other


def test_pages_come_while_many_ask(client):
    rows = texts(40)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda text: post(client, texts=[text]).json()["predictions"][0]["class"], rows))
        pages = list(pool.map(lambda _: client.get("/").status_code, range(8)))
    assert answers == [row["class"] for row in post(client, texts=rows).json()["predictions"]]
    assert pages == [200] * 8


def test_answers_wait_for_no_acknowledgement(client):
    answers = post_all(str(client.base_url), [{"texts": ["purr"]}] * 20, clients=1)
    # Delayed acknowledgements take 40 ms or more.
    assert min(answer.seconds for answer in answers) < 0.03


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_socket_names_its_protocol_for_asyncio_to_set_nodelay(host):
    with listen(host, 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP


def metrics(client):
    """Values of the metrics by name and labels."""
    answer = client.get("metrics").raise_for_status()
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    return dict(re.findall(r"^([^#\s].*) (\S+)$", answer.text, flags=re.M))


def test_metrics_count_requests_texts_and_batches(folder):
    with serving(folder) as (_, client):
        post(client, texts=["a", "b"]).raise_for_status()
        assert post(client, texts=[1]).status_code == 422
        assert [client.get(path).status_code for path in ("no", "such", "health")] == [404, 404, 200]
        found = metrics(client)
    assert found['crepe_requests_total{path="/predict",status="200"}'] == "1.0"
    assert found['crepe_requests_total{path="/predict",status="422"}'] == "1.0"
    assert found['crepe_requests_total{path="other",status="404"}'] == "2.0"
    assert found['crepe_request_seconds_bucket{le="+Inf",path="/predict"}'] == "2.0"
    assert float(found['crepe_request_seconds_sum{path="/predict"}']) > 0
    assert found["crepe_texts_total"] == "2.0"
    assert found['crepe_batch_texts_bucket{le="2.0"}'] == "1.0"


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [(CrepeError("out of memory", "x", "wait"), 503, "out of memory: x; wait"), (KeyError("y"), 500, None)],
)
def test_errors_of_the_network_are_answered_and_counted(error, status, said):
    class Faulty:
        classes = CLASSES

        def answers(self, texts, explained=False):
            raise error

    async def ask():
        app = application(cast(Classifier, Faulty()), "faulty", limits.parse("9/second"))
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            answer = await client.post("/predict", json={"texts": ["a"]})
            return answer, (await client.get("/metrics")).text

    answer, counted = asyncio.run(ask())
    assert answer.status_code == status
    assert said is None or answer.json() == {"detail": said}
    assert f'crepe_requests_total{{path="/predict",status="{status}"}} 1.0' in counted


def test_no_request_is_lost_when_it_stops(folder):
    with serving(folder, "--rate", "100000/second") as (process, client):
        assert client.get("health").json() == {"status": "ok", "model": folder.name}
        timer = threading.Timer(1, process.terminate)
        timer.start()
        answers = post_until_closed(str(client.base_url), {"texts": ["purr"]}, clients=CONNECTIONS)
        health = client.get("health")
        assert process.wait(SECONDS) == 0
        assert process.stderr.read() == ""
        timer.join()
    assert (health.status_code, health.json()["status"]) == (503, "stopping")
    assert len(answers) > 2 * CONNECTIONS
    assert {answer.status for answer in answers} == {200}
    assert sum(answer.closes for answer in answers) == CONNECTIONS


def test_a_long_request_under_way_is_answered_when_it_stops(tmp_path):
    with serving(write(tmp_path, "characters"), "--rate", "100000/second") as (process, client):
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(post, client, texts=["purr " * 100] * EXPLAINED, explain=True)
            while 'status="200"' not in client.get("metrics").text:
                pass
            process.terminate()
            assert len(answer.result().raise_for_status().json()["predictions"]) == EXPLAINED
        assert process.wait(SECONDS) == 0


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
        (["--rate", "often"], "--rate often: is not a rate; write it as 10/second or 100/minute"),
        (["--port", "70000"], "--port 70000: cannot listen there"),
        (["--host", "no.such.host.invalid"], "--host no.such.host.invalid --port 8000: cannot listen there"),
    ],
)
def test_refusals(folder, capsys, options, message):
    assert main(["serve", str(folder), *options]) == 1
    assert message in capsys.readouterr().err


def test_a_port_in_use_is_named(folder, capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert main(["serve", str(folder), "--port", str(port)]) == 1
    assert f"--host 127.0.0.1 --port {port}: cannot listen there" in capsys.readouterr().err


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
