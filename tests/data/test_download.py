"""crepe.data.download: against a real server that misbehaves, and files on disk."""

import contextlib
import datetime
import email.utils
import functools
import gzip
import hashlib
import json
import os
import random
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crepe import cli
from crepe.config.catalog import Dataset, Source, Thesaurus, Vectors
from crepe.data import archive
from crepe.data import download as module
from crepe.data.download import download
from crepe.errors import CrepeError
from tests.support import misbehaving as server
from tests.support.paths import ROOT
from tests.support.texts import binary

pytestmark = pytest.mark.slow

RANDOM = random.Random(1)
# Random bytes, since what compresses well comes in one piece
CONTENT = server.tgz({"x_csv/train.csv": RANDOM.randbytes(300_000), "x_csv/test.csv": b'"1","a"\n'})
OTHER = server.tgz({"x_csv/train.csv": RANDOM.randbytes(10_000), "x_csv/test.csv": b'"1","b"\n'})


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    for name, value in {
        "FIRST_WAIT_SECONDS": 0.01,
        "LONGEST_WAIT_SECONDS": 3.0,
        "CONNECT_SECONDS": 20.0,
        "STALL_SECONDS": 20.0,
    }.items():
        monkeypatch.setattr(module, name, value)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def serve():
    with contextlib.ExitStack() as stack:
        yield lambda *answers, content=CONTENT, **options: stack.enter_context(
            server.serving(content, *answers, **options)
        )


@pytest.fixture
def target(tmp_path):
    return tmp_path / "raw" / "x.tgz"


def source(url: str, content: bytes = CONTENT, **changes: Any) -> Source:
    published: dict[str, Any] = {"url": url, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    return Source(**{**published, **changes})


def dataset(*sources: Source) -> Dataset:
    return Dataset(
        title="X", fields=1, classes=2, train_rows=1, test_rows=1, batches_per_epoch=1, sources=tuple(sources)
    )


def parts(target: Path) -> list[Path]:
    return list(target.parent.glob(".*")) if target.parent.is_dir() else []


def arrived(target: Path, content: bytes = CONTENT) -> bool:
    """The archive is there, whole, and nothing else."""
    return [path.read_bytes() for path in target.parent.iterdir()] == [content]


def fails(target: Path, *sources: Source) -> str:
    """No source has the archive, and nothing stands at the target; returns what is said."""
    with pytest.raises(CrepeError) as caught:
        download("x", dataset(*sources), target)
    assert not target.exists()
    return str(caught.value)


# The ordinary way


def test_whole(serve, target, capsys):
    one = serve(server.good)
    download("x", dataset(source(one.url, name="one")), target)
    assert arrived(target)
    assert one.ranges == [None]
    assert one.headers[0]["Accept-Encoding"] == "identity"
    assert capsys.readouterr().err == f"x: {target}: {len(CONTENT) / 1000:.1f} kB from one\n"


def test_permissions_are_those_of_any_new_file(serve, target):
    download("x", dataset(source(serve(server.good).url)), target)
    (target.parent / "other").touch()
    assert target.stat().st_mode == (target.parent / "other").stat().st_mode


@pytest.mark.parametrize(
    "answer",
    [server.ignoring_range, server.unmeasured, server.chunked(end=True), server.labelled_encoded, server.late(0.3)],
)
def test_other_right_answers(serve, target, answer):
    one = serve(answer)
    download("x", dataset(source(one.url)), target)
    assert arrived(target)
    assert len(one.paths) == 1


@pytest.mark.parametrize("changes", [{"bytes": None}, {"sha256": None}, {"sha256": None, "bytes": None}])
def test_what_is_published_varies(serve, target, changes):
    changes = {"md5": hashlib.md5(CONTENT).hexdigest(), **changes}
    download("x", dataset(source(serve(server.good).url, **changes)), target)
    assert arrived(target)


def test_redirects(serve, target):
    two = serve(server.good)
    one = serve(server.redirect(two.url))
    download("x", dataset(source(one.url)), target)
    assert arrived(target)


def test_a_redirected_download_continues(serve, target):
    two = serve(server.dropping(200_000), server.good)
    one = serve(server.redirect(two.url))
    download("x", dataset(source(one.url)), target)
    assert arrived(target)
    assert continued(two.ranges[1]) > 0


# Continuing


def continued(asked: str | None) -> int:
    assert asked is not None
    return int(re.fullmatch(r"bytes=(\d+)-", asked)[1])


@pytest.mark.parametrize("after", [1, 100_000, len(CONTENT) - 1])
@pytest.mark.parametrize("published", [len(CONTENT), None])
def test_continues_what_broke_off(serve, target, after, published):
    one = serve(server.dropping(after), server.good)
    download("x", dataset(source(one.url, bytes=published)), target)
    assert arrived(target)
    assert one.ranges == [None, f"bytes={after}-"]


def test_breaks_off_before_any_byte(serve, target):
    one = serve(server.dropping(0), server.good)
    download("x", dataset(source(one.url)), target)
    assert arrived(target)
    assert one.ranges == [None, None]


def test_notices_a_stall(serve, target, monkeypatch, capsys):
    monkeypatch.setattr(module, "STALL_SECONDS", 1.0)
    one = serve(server.stalling(100_000), server.silent, server.good)
    begun = time.monotonic()
    download("x", dataset(source(one.url)), target)
    assert 2.0 < time.monotonic() - begun < 30.0
    assert arrived(target)
    assert one.ranges[:2] == [None, "bytes=100000-"]
    assert "broke off after 100,000 bytes (timed out); again in" in capsys.readouterr().err


def test_notices_a_trickle(serve, target, monkeypatch, capsys):
    monkeypatch.setattr(module, "STALL_SECONDS", 1.0)
    one = serve(server.trickling, server.good)
    download("x", dataset(source(one.url)), target)
    assert arrived(target)
    assert 0 < continued(one.ranges[1]) < 100
    assert re.search(r"sent \d+ bytes in 1 s; again", capsys.readouterr().err)


def test_chunks_that_end_early_continue(serve, target):
    one = serve(server.chunked(end=False), server.good)
    download("x", dataset(source(one.url)), target)
    assert arrived(target)


def test_the_published_size_shows_what_broke_off_unseen(serve, target, capsys):
    one = serve(server.unmeasured_dropping, server.good)
    download("x", dataset(source(one.url)), target)
    assert arrived(target)
    assert one.ranges == [None, f"bytes={len(CONTENT) // 2}-"]
    assert f"broke off after {len(CONTENT) // 2:,} of {len(CONTENT):,} bytes; again" in capsys.readouterr().err


@pytest.mark.parametrize("answer", [server.ignoring_range, server.chunked(end=True)])
def test_a_server_without_ranges_starts_anew(serve, target, answer):
    one = serve(server.dropping(100_000), answer)
    download("x", dataset(source(one.url)), target)
    assert arrived(target)
    assert one.ranges == [None, "bytes=100000-"]


@pytest.mark.parametrize("answer", [server.wrong_range, server.no_content_range, server.status(416)])
def test_another_range_than_asked_starts_anew(serve, target, answer):
    one = serve(server.dropping(100_000), answer, server.good)
    download("x", dataset(source(one.url)), target)
    assert arrived(target)
    assert one.ranges == [None, "bytes=100000-", None]


def test_range_that_lies_is_found_out_and_all_fetched_anew(serve, target):
    one = serve(server.dropping(100_000), server.lying_range, server.good)
    download("x", dataset(source(one.url)), target)
    assert arrived(target)
    assert one.ranges == [None, "bytes=100000-", None]


def test_range_that_always_lies_is_given_up(serve, target):
    one = serve(*[server.dropping(100_000), server.lying_range] * 2, server.dropping(100_000))
    assert "has sha256 " in fails(target, source(one.url))
    assert len(one.paths) == 4
    assert parts(target) == []


def test_range_unasked_for(serve, target):
    one = serve(server.wrong_range)
    download("x", dataset(source(one.url)), target)
    assert arrived(target)


def test_the_next_call_continues(serve, target):
    one = serve(server.dropping(50_000), server.status(404), server.good)
    assert "answers 404 Not Found" in fails(target, source(one.url))
    (part,) = parts(target)
    assert part.read_bytes() == CONTENT[:50_000]
    assert hashlib.sha256(CONTENT).hexdigest() in part.name
    download("x", dataset(source(one.url)), target)
    assert arrived(target)
    assert one.ranges[2] == "bytes=50000-"


@pytest.mark.parametrize(
    "left",
    [bytes(1000), bytes(len(CONTENT)), bytes(len(CONTENT) + 1), CONTENT + b"x"],
    ids=["short", "as long", "too long", "right but too long"],
)
@pytest.mark.parametrize("published", [len(CONTENT), None])
def test_a_spoiled_part_is_found_out(serve, target, left, published):
    one = serve(server.good)
    it = source(one.url, bytes=published)
    target.parent.mkdir()
    module.partial_file(target, it).write_bytes(left)
    download("x", dataset(it), target)
    assert arrived(target)
    assert one.ranges[-1] is None


def test_a_complete_part_needs_no_request(serve, target):
    one = serve(server.status(500))
    it = source(one.url)
    target.parent.mkdir()
    module.partial_file(target, it).write_bytes(CONTENT)
    download("x", dataset(it), target)
    assert arrived(target)
    assert one.paths == []


def test_sources_never_mix(serve, target):
    one = serve(server.dropping(8_000), server.status(403))
    two = serve(server.good, content=OTHER)
    download("x", dataset(source(one.url), source(two.url, OTHER)), target)
    assert arrived(target, OTHER)
    assert two.ranges == [None]


@pytest.mark.parametrize(
    "answer", [server.slow_status, server.slow_headers, server.slow_chunk, server.ever_continuing, server.silent]
)
@pytest.mark.parametrize("published", [len(CONTENT), None])
def test_the_time_of_a_source_ends_whatever_it_does(serve, target, original, monkeypatch, capsys, answer, published):
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.7)
    one = serve(answer)
    download("x", dataset(source(one.url, name="one", bytes=published), Source(url=str(original))), target)
    assert arrived(target)
    assert len(one.paths) <= 1
    assert re.search(r"x: one: is too slow: 0 bytes in \d+ s, and at last: ", capsys.readouterr().err)


def test_the_time_of_a_source_ends_with_https_too(serve, target, monkeypatch, certificate):
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.7)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    one = serve(server.slow_headers, certificate=certificate)
    assert "is too slow: 0 bytes in " in fails(target, source(one.url))
    assert len(one.paths) <= 1


def test_the_time_of_a_source_ends_in_the_middle_of_the_file(serve, target, monkeypatch):
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.7)
    monkeypatch.setattr(module, "LEAST_SPEED", 10**6)
    assert re.search(r"is too slow: [\d,]+ bytes in ", fails(target, source(serve(server.pausing).url)))
    assert all(CONTENT.startswith(part.read_bytes()) for part in parts(target))


def test_bytes_give_a_source_more_time():
    clock = module._Clock(had=1000)
    ends = []
    for done in (0, 21_000, 500, 21_000, 41_000):
        clock.count(done)
        ends.append(round(clock.until() - clock.begun))
    assert ends == [300, 301, 301, 301, 302]


def test_no_wait_is_begun_that_would_take_too_long(serve, target, monkeypatch):
    monkeypatch.setattr(module, "GRACE_SECONDS", 60.0)
    monkeypatch.setattr(module, "LONGEST_WAIT_SECONDS", 600.0)
    one = serve(server.status(503, Retry_After=500))
    assert "answers 503 Service Unavailable" in fails(target, source(one.url))
    assert len(one.paths) == 1


# Asking again


@pytest.mark.parametrize("code", [408, 425, 429, 500, 502, 503, 504])
def test_passing_faults_are_asked_again(serve, target, code, capsys):
    one = serve(server.status(code), server.status(code), server.good)
    download("x", dataset(source(one.url, name="one")), target)
    assert arrived(target)
    assert len(one.paths) == 3
    assert capsys.readouterr().err.count(f"x: one: answers {code} ") == 2


@pytest.mark.parametrize("answer", [server.garbage, server.dropping(0)])
def test_broken_connections_are_asked_again(serve, target, answer):
    one = serve(answer, server.good)
    download("x", dataset(source(one.url)), target)
    assert arrived(target)


def test_waits_as_long_as_asked(serve, target):
    one = serve(server.status(429, Retry_After=1), server.good)
    begun = time.monotonic()
    download("x", dataset(source(one.url)), target)
    assert time.monotonic() - begun >= 1.0
    assert arrived(target)


def test_waits_until_a_date(serve, target, capsys):
    # Dates have whole seconds: of the 3 s at least 2 are left
    date = email.utils.format_datetime(datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=3), usegmt=True)
    one = serve(server.status(503, Retry_After=date), server.good)
    begun = time.monotonic()
    download("x", dataset(source(one.url)), target)
    assert time.monotonic() - begun >= 1.0
    assert arrived(target)


@pytest.mark.parametrize(
    "value",
    ["soon", "-5", "", "99999999999999999999 s", "9" * 5000, "Fri, 31 Dec 99999 23:59:59 GMT", "Fri, 99 Foo 1 99:99 X"],
)
def test_nonsense_in_retry_after(serve, target, value):
    one = serve(server.status(429, Retry_After=value), server.good)
    download("x", dataset(source(one.url)), target)
    assert arrived(target)


@pytest.mark.parametrize("value", ["3600", "9" * 1000, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_does_not_wait_for_ever(serve, target, capsys, value):
    one, two = serve(server.status(429, Retry_After=value)), serve(server.good)
    download("x", dataset(source(one.url, name="one"), source(two.url)), target)
    assert arrived(target)
    assert len(one.paths) == 1
    # urllib3 takes no number for more than six hours.
    said = "3600" if value == "3600" else "21600"
    assert f"x: one: answers 429 Too Many Requests, and to ask again in {said} s" in capsys.readouterr().err


def test_backs_off_exponentially(serve, target, monkeypatch):
    monkeypatch.setattr(module, "FIRST_WAIT_SECONDS", 0.1)
    one = serve(server.status(500))
    begun = time.monotonic()
    fails(target, source(one.url))
    assert len(one.paths) == module.ATTEMPTS == 5
    assert time.monotonic() - begun >= 0.1 + 0.2 + 0.4 + 0.8


def test_goes_on_as_long_as_it_gets_on(serve, target, monkeypatch):
    monkeypatch.setattr(module, "ATTEMPTS", 2)
    monkeypatch.setattr(module, "GAIN_BYTES", 50_000)
    one = serve(server.dropping(30_000))
    download("x", dataset(source(one.url)), target)
    assert arrived(target)
    assert len(one.paths) > 10


def test_gives_up_what_does_not_get_on(serve, target, monkeypatch):
    monkeypatch.setattr(module, "GAIN_BYTES", 50_000)
    one = serve(server.dropping(9_000))
    assert "broke off after 45,000 bytes" in fails(target, source(one.url))
    assert len(one.paths) == module.ATTEMPTS
    (part,) = parts(target)
    assert part.read_bytes() == CONTENT[:45_000]


def test_starting_anew_for_ever_is_no_progress(serve, target, monkeypatch):
    monkeypatch.setattr(module, "GAIN_BYTES", 50_000)
    one = serve(server.ignoring_range_dropping(200_000))
    fails(target, source(one.url))
    assert len(one.paths) == 2 * module.ATTEMPTS


# Going to the next source


@pytest.mark.parametrize("code", [204, 301, 304, 400, 401, 403, 404, 410, 416, 451])
def test_lasting_faults_are_not_asked_again(serve, target, code, capsys):
    one, two = serve(server.status(code)), serve(server.good)
    download("x", dataset(source(one.url, name="one"), source(two.url, name="two")), target)
    assert arrived(target)
    assert len(one.paths) == 1
    assert f"x: one: answers {code} " in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["text/html", "text/html; charset=utf-8", "Text/HTML", "application/xhtml+xml"])
def test_html_is_refused_at_once(serve, target, kind, capsys):
    one, two = serve(server.page(kind)), serve(server.good)
    download("x", dataset(source(one.url, name="one"), source(two.url, name="two")), target)
    assert arrived(target)
    assert len(one.paths) == 1
    assert "x: one: answers with an HTML page, as Google Drive does" in capsys.readouterr().err


@pytest.mark.parametrize("published", [len(CONTENT), None])
def test_html_that_does_not_say_so(serve, target, published):
    one = serve(server.page("application/octet-stream"))
    text = fails(target, source(one.url, bytes=published))
    assert ("is an HTML page, not an archive" if published is None else f" bytes, published are {published:,}") in text
    assert len(one.paths) == 1


def test_html_in_the_middle_of_a_download(serve, target):
    one, two = serve(server.dropping(100_000), server.page("text/html")), serve(server.good)
    download("x", dataset(source(one.url), source(two.url)), target)
    assert arrived(target)


@pytest.mark.parametrize("length", [len(CONTENT) - 10, len(CONTENT) + 10])
def test_another_length_than_published(serve, target, length):
    one = serve(server.claiming(length))
    assert f"has {length:,} bytes, published are {len(CONTENT):,}" in fails(target, source(one.url))
    assert len(one.paths) == 1


def test_too_long_a_length_where_none_is_published(serve, target):
    one = serve(server.claiming(len(CONTENT) + 10))
    text = fails(target, source(one.url, bytes=None))
    assert f"broke off after {len(CONTENT):,} bytes" in text
    assert len(one.paths) == module.ATTEMPTS


def test_too_short_a_length_where_none_is_published(serve, target):
    text = fails(target, source(serve(server.claiming(1000)).url, bytes=None))
    assert "has sha256 " in text
    assert parts(target) == []


def test_wrong_bytes(serve, target, capsys):
    wrong = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
    one, two = serve(server.good, content=wrong), serve(server.good)
    download("x", dataset(source(one.url, name="one"), source(two.url, name="two")), target)
    assert arrived(target)
    found, published = (hashlib.sha256(content).hexdigest() for content in (wrong, CONTENT))
    assert f"x: one: has sha256 {found}, published is {published}\n" in capsys.readouterr().err
    assert len(one.paths) == 1


def test_wrong_md5(serve, target):
    text = fails(target, source(serve(server.good).url, sha256=None, md5="0" * 32))
    assert f"has md5 {hashlib.md5(CONTENT).hexdigest()}, published is {'0' * 32}" in text


def test_sha256_counts_where_both_are_published(serve, target):
    download("x", dataset(source(serve(server.good).url, md5="0" * 32)), target)
    assert arrived(target)


@pytest.mark.parametrize("content", [CONTENT[:-9], b"PK\x03\x04" + CONTENT], ids=["truncated", "zip"])
def test_no_whole_archive_though_the_checksum_is_right(serve, target, content):
    one = serve(server.good, content=content)
    assert re.search("is not a (whole )?gzip-compressed tar", fails(target, source(one.url, content)))
    assert parts(target) == []


def test_endless_answer(serve, target, monkeypatch):
    one = serve(server.endless)
    assert f"sends more than {len(CONTENT):,} bytes" in fails(target, source(one.url))
    monkeypatch.setattr(archive, "MAXIMUM", 2_000_000)
    assert "sends more than 2,000,000 bytes" in fails(target, source(one.url, bytes=None))
    assert parts(target) == []


def test_a_file_compressed_once_more_is_refused(serve, target):
    one = serve(server.encoded)
    assert re.search(r"has [\d,]+ bytes in gzip, published are ", fails(target, source(one.url)))
    assert "has sha256 " in fails(target, source(one.url, bytes=None))
    assert parts(target) == []


# Google Drive's question


def test_the_question_is_answered(serve, target):
    one = serve(server.asking())
    download("x", dataset(source(one.url)), target)
    assert arrived(target)
    assert one.paths == ["/archive.tgz", "/download?id=a%26b&export=download&confirm=t"]


def test_the_question_may_send_elsewhere_and_a_download_continues_behind_it(serve, target):
    two = serve(server.dropping(100_000), server.good)
    one = serve(server.asking(f"{two.url}?lang=en"))
    download("x", dataset(source(one.url)), target)
    assert arrived(target)
    assert two.ranges == [None, "bytes=100000-"]


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (server.asking(fields='<input name="uuid" value="wrong">'), "answers with an HTML page"),
        (server.asking("file:///etc/passwd"), "No connection adapters were found for 'file:///etc/passwd"),
        (server.asking("http://[broken"), "Invalid"),
    ],
)
def test_a_question_without_end_or_sense_is_given_up(serve, target, answer, fault):
    one = serve(answer)
    assert fault in fails(target, source(one.url))
    assert len(one.paths) <= 2


def test_nobody_listens(target):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        text = fails(target, source(f"http://127.0.0.1:{taken.getsockname()[1]}/"))
    assert ": Connection refused\n" in text


@pytest.mark.parametrize(
    "location",
    [
        "http://[broken/",
        "http://",
        "ftp://127.0.0.1/x",
        "file:///etc/passwd",
        "http://127.0.0.1:99999/",
        "http://\xff\xfe.\x80/",
        "/archive.tgz",
    ],
)
def test_bad_redirects(serve, target, location):
    one = serve(server.redirect(location))
    assert one.url in fails(target, source(one.url))
    assert len(one.paths) <= 31 * module.ATTEMPTS


def test_the_page_of_a_redirect_is_not_read(serve, target):
    two = serve(server.good)
    one = serve(server.endless_redirect(two.url))
    download("x", dataset(source(one.url)), target)
    assert arrived(target)


@pytest.mark.parametrize("url", ["http://", "http://[broken/", "ftp://127.0.0.1/x.tgz", "http://127.0.0.1:99999/"])
def test_bad_addresses(target, url):
    assert f"  {url}: " in fails(target, source(url))


# https and proxies


@pytest.fixture
def certificate(tmp_path):
    """A certificate for 127.0.0.1 that nobody vouches for, and its key."""
    pytest.importorskip("cryptography")
    from ipaddress import IPv4Address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    built = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - day, now + day)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "certificate.pem"
    path.write_bytes(
        built.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


def test_certificates_are_checked(serve, target, certificate, capsys):
    one = serve(server.good, certificate=certificate)
    assert "certificate verify failed: self" in fails(target, source(one.url))
    assert "; again in" not in capsys.readouterr().err
    assert one.paths == []


def test_https(serve, target, certificate, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    one = serve(server.dropping(100_000), server.good, certificate=certificate)
    download("x", dataset(source(one.url)), target)
    assert arrived(target)
    assert one.ranges == [None, "bytes=100000-"]


def test_certificates_that_are_not_there(serve, target, certificate, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")
    text = fails(target, source(serve(server.good, certificate=certificate).url))
    assert "invalid path: /nowhere/ca.pem" in text


def test_proxies_of_the_environment_are_used(serve, target, monkeypatch):
    proxy = serve(server.good)
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.server_port}")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.server_port}")
    download("x", dataset(source("http://archive.invalid/x.tgz")), target)
    assert arrived(target)
    assert proxy.paths == ["http://archive.invalid/x.tgz"]


# Files on disk


@pytest.fixture
def original(tmp_path):
    path = tmp_path / "original x.tgz"
    path.write_bytes(CONTENT)
    return path


@pytest.mark.parametrize("checked", [True, False])
def test_file_address(target, original, checked):
    it = source(f"file://{original}") if checked else Source(url=f"file://{original}")
    download("x", dataset(it), target)
    assert arrived(target)
    assert original.read_bytes() == CONTENT


def test_relative_path(target, original, monkeypatch):
    monkeypatch.chdir(original.parent)
    download("x", dataset(Source(url=original.name)), target)
    assert arrived(target)


def test_missing_file(target, tmp_path):
    for path in (tmp_path / "none", tmp_path):
        assert f"  here, file://{path}: there is no such file" in fails(
            target, Source(name="here", url=f"file://{path}")
        )


def test_wrong_files(target, original):
    url = f"file://{original}"
    assert f"has {len(CONTENT):,} bytes, published are 1\n" in fails(target, source(url, bytes=1))
    assert "has sha256 " in fails(target, source(url, sha256="0" * 64))
    original.write_bytes(CONTENT[:-1])
    assert "is not a whole gzip-compressed tar" in fails(target, Source(url=url))
    original.write_bytes(b"<!doctype html>")
    assert "is an HTML page" in fails(target, Source(url=url))
    assert list(target.parent.iterdir()) == []


def test_from_a_missing_file_to_the_network(serve, target, tmp_path, capsys):
    download("x", dataset(Source(url=f"{tmp_path}/none"), source(serve(server.good).url)), target)
    assert arrived(target)
    assert f"x: {tmp_path}/none: there is no such file\n" in capsys.readouterr().err


# What stands at the target already


def test_the_right_archive_is_kept(serve, target, capsys):
    target.parent.mkdir()
    target.write_bytes(CONTENT)
    os.utime(target, (1, 1))
    one, two = serve(server.good, content=OTHER), serve(server.good)
    download("x", dataset(source(one.url, OTHER), source(two.url, name="two")), target)
    assert target.stat().st_mtime == 1
    assert one.paths == two.paths == []
    assert capsys.readouterr().err == f"x: {target}: is there already, the archive of two\n"


def test_another_archive_is_replaced(serve, target, capsys):
    target.parent.mkdir()
    target.write_bytes(OTHER)
    download("x", dataset(source(serve(server.good).url, name="one")), target)
    assert arrived(target)
    assert f"{target}: is not the archive of one: has {len(OTHER):,} bytes" in capsys.readouterr().err


def test_another_archive_stays_when_no_source_has_the_right_one(serve, target):
    target.parent.mkdir()
    target.write_bytes(OTHER)
    with pytest.raises(CrepeError, match="404"):
        download("x", dataset(source(serve(server.status(404)).url)), target)
    assert arrived(target, OTHER)


def test_a_file_without_checksum_is_compared_with_its_original(target, original):
    it = dataset(Source(url=f"file://{original}"))
    download("x", it, target)
    os.utime(target, (1, 1))
    download("x", it, target)
    assert target.stat().st_mtime == 1
    original.write_bytes(OTHER)
    download("x", it, target)
    assert arrived(target, OTHER)


def test_a_file_that_is_its_own_original(original):
    download("x", dataset(Source(url=f"file://{original}")), original)
    assert original.read_bytes() == CONTENT


def test_folders_and_places_that_cannot_be_written(serve, tmp_path, original):
    one = serve(server.good)
    with pytest.raises(CrepeError, match="is a folder; name the archive's file"):
        download("x", dataset(source(one.url)), tmp_path)
    with pytest.raises(CrepeError, match="cannot be written"):
        download("x", dataset(source(one.url)), original / "x.tgz")
    with pytest.raises(CrepeError, match="cannot be written"):
        download("x", dataset(Source(url=str(original))), original / "x.tgz")
    assert one.paths == []


def test_a_full_disk_is_no_fault_of_the_source(serve, target):
    one, two = serve(server.good), serve(server.good)
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, old[1]))
    try:
        with pytest.raises(CrepeError, match=r"\.part: cannot be written: File too large"):
            download("x", dataset(source(one.url), source(two.url)), target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert (len(one.paths), len(two.paths)) == (1, 0)
    download("x", dataset(source(one.url), source(two.url)), target)
    assert arrived(target)
    assert one.ranges[1] == "bytes=100000-"


# Thesauri

WORDS = ("UTF-8\n" + "".join(f"word{i}|1\n(noun)|synonym of word{i}\n" for i in range(5000))).encode()


def test_a_thesaurus(serve, tmp_path):
    target = tmp_path / "raw" / "x.dat"
    one = serve(server.dropping(1000), server.good, content=WORDS)
    download("x", Thesaurus(sources=(source(one.url, WORDS),)), target)
    assert arrived(target, WORDS)
    assert one.ranges == [None, "bytes=1000-"]
    (tmp_path / "y.dat").write_bytes(WORDS)
    download("x", Thesaurus(sources=(Source(url=str(tmp_path / "y.dat")),)), tmp_path / "copied" / "x.dat")
    assert arrived(tmp_path / "copied" / "x.dat", WORDS)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (CONTENT, "line 1: is not the name of an encoding: "),
        (WORDS.rpartition(b"\n(")[0], "line 10001: expected a meaning of 'word4999', found the end"),
    ],
)
def test_what_is_no_thesaurus_is_refused(serve, target, content, fault):
    with pytest.raises(CrepeError) as caught:
        download("x", Thesaurus(sources=(source(serve(server.good, content=content).url, content),)), target)
    assert str(caught.value).startswith("x: no source has the thesaurus:\n")
    assert fault in str(caught.value)
    assert "name another source in the configuration: catalog.thesauri.x.sources" in str(caught.value)
    assert not target.exists()


def test_command_fetches_a_thesaurus(tmp_path, monkeypatch):
    (tmp_path / "config").symlink_to(ROOT / "config")
    monkeypatch.chdir(tmp_path)
    Path("here.dat").write_bytes(WORDS)
    text = json.dumps({"catalog": {"thesauri": {"th_en_US_v2": {"sources": [{"url": "here.dat"}]}}}})
    assert cli.main(["download", "th_en_US_v2", "--config", text]) == 0
    assert arrived(Path("data/raw/th_en_US_v2.dat"), WORDS)


# Word vectors


def test_word_vectors(serve, tmp_path):
    target = tmp_path / "raw/x.bin.gz"
    content = gzip.compress(binary([(f"word{number}", [number, 0.5]) for number in range(2000)]))
    one = serve(server.dropping(1000), server.good, content=content)
    download("x", Vectors(vector_size=2, sources=(source(one.url, content),)), target)
    assert arrived(target, content)
    wrong = source(serve(server.good, content=content[:-30]).url, content[:-30])
    with pytest.raises(CrepeError, match=r"(?s)x: no source has the file of word vectors:.*is not a whole file"):
        download("x", Vectors(vector_size=2, sources=(wrong,)), tmp_path / "other.bin.gz")
    assert not (tmp_path / "other.bin.gz").exists()


# The store


def test_what_is_downloaded_is_kept_and_not_downloaded_again(serve, target, tmp_path):
    one, kept = serve(server.dropping(1000), server.good), tmp_path / "store"
    it = source(one.url)
    download("x", dataset(it), target, kept)
    assert [path.name for path in kept.iterdir()] == [it.sha256]
    assert target.samefile(kept / it.sha256)
    target.unlink()
    download("x", dataset(source("http://archive.invalid/x.tgz")), target, kept)
    assert arrived(target)
    assert len(one.paths) == 2


def test_a_file_in_the_store_may_have_any_name(serve, target, tmp_path):
    kept = tmp_path / "store"
    kept.mkdir()
    (kept / "from a friend.tgz").write_bytes(CONTENT)
    (kept / "other.tgz").write_bytes(OTHER)
    it = source("http://archive.invalid/x.tgz")
    download("x", dataset(it), target, kept)
    assert arrived(target)
    assert {path.name for path in kept.iterdir()} == {it.sha256, "other.tgz"}


def test_a_damaged_file_in_the_store_is_downloaded_again(serve, target, tmp_path):
    kept, it = tmp_path / "store", source(serve(server.good).url)
    kept.mkdir()
    (kept / it.sha256).write_bytes(OTHER)
    download("x", dataset(it), target, kept)
    assert arrived(target)
    assert (kept / it.sha256).read_bytes() == CONTENT


def test_what_broke_off_is_continued_in_the_store(serve, target, tmp_path):
    kept, it = tmp_path / "store", source(serve(server.good).url)
    kept.mkdir()
    module.partial_file(kept / it.sha256, it).write_bytes(CONTENT[:1000])
    download("x", dataset(it), target, kept)
    assert arrived(target)
    assert [path.name for path in kept.iterdir()] == [it.sha256]


# All together


def test_failure_lists_every_source_and_what_to_do(serve, target, tmp_path):
    one, two = serve(server.status(404)), serve(server.page("text/html"))
    text = fails(
        target, source(one.url, name="one"), source(two.url), Source(name="here", url=f"file://{tmp_path}/none")
    )
    assert text.splitlines() == [
        "x: no source has the archive:",
        f"  one, {one.url}: answers 404 Not Found",
        f"  {two.url}: answers with an HTML page, as Google Drive does when its quota is spent",
        f"  here, file://{tmp_path}/none: there is no such file",
        f"Put the archive at {target}, or name another source in the configuration: catalog.datasets.x.sources",
    ]


def test_no_sources(target):
    assert "x: no source has the archive:\n  the configuration names none\n" in fails(target)


MISBEHAVIOURS = [
    server.good,
    server.dropping(0),
    server.dropping(100_000),
    server.ignoring_range,
    server.ignoring_range_dropping(50_000),
    server.wrong_range,
    server.lying_range,
    server.no_content_range,
    server.status(404),
    server.status(416),
    server.status(500),
    server.page("text/html"),
    server.page("text/plain"),
    server.claiming(1000),
    server.claiming(10**6),
    server.unmeasured_dropping,
    server.chunked(end=True),
    server.chunked(end=False),
    server.garbage,
    server.encoded,
    server.asking(),
    server.redirect("/archive.tgz?again"),
]


@settings(max_examples=100)
@given(
    st.lists(st.sampled_from(MISBEHAVIOURS), min_size=1, max_size=5),
    st.sampled_from([len(CONTENT), None]),
    st.sampled_from([b"", CONTENT[:1000], bytes(1000)]),
)
def test_right_bytes_or_none(tmp_path_factory, answers, published, left):
    target = tmp_path_factory.mktemp("any") / "x.tgz"
    with server.serving(CONTENT, *answers) as one:
        it = source(one.url, bytes=published)
        if left:
            module.partial_file(target, it).write_bytes(left)
        try:
            download("x", dataset(it), target)
            fault = None
        except CrepeError as error:
            fault = str(error)
        assert arrived(target) if fault is None else (one.url in fault and not target.exists())
        assert one.paths.count("/archive.tgz") <= 2 * module.ATTEMPTS


# The command


def overlay(*sources: Source) -> str:
    entry = {**dataset(*sources).as_dict(), "sources": [it.as_dict() for it in sources]}
    return json.dumps({"catalog": {"datasets": {"x": entry}}})


def test_command(serve, target, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    one, two = serve(server.status(404)), serve(server.dropping(1000), server.good)
    text = overlay(source(one.url, name="one"), source(two.url, name="two"))
    assert cli.main(["download", "x", "--output", str(target), "--config", text]) == 0
    assert arrived(target)
    assert capsys.readouterr().out == ""


def test_command_writes_to_data_raw(serve, tmp_path, monkeypatch):
    (tmp_path / "config").symlink_to(ROOT / "config")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "overlay.yaml").write_text(overlay(source(serve(server.good).url)))
    assert cli.main(["download", "x", "--config", "overlay.yaml"]) == 0
    assert arrived(Path("data/raw/x.tgz"))


def test_command_fails_without_traceback(serve, target):
    text = overlay(source(serve(server.page("text/html")).url))
    done = run("download", "x", "--output", str(target), "--config", text)
    assert done.returncode == 1
    assert done.stderr.splitlines()[1] == "crepe download: x: no source has the archive:"
    assert "Traceback" not in done.stderr
    assert not target.exists()


def test_command_refuses_what_is_not_in_the_catalog(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert cli.main(["download", "nonsense"]) == 1
    assert "dataset 'nonsense' is not in the catalog, which has ag_news, " in capsys.readouterr().err


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "crepe", *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize("kill", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_command_continues_after_a_kill(serve, target, kill):
    one = serve(server.stalling(100_000), server.good)
    it = source(one.url)
    arguments = ["download", "x", "--output", str(target), "--config", overlay(it)]
    process = subprocess.Popen(
        [sys.executable, "-m", "crepe", *arguments],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        # Shells let what they start in the background ignore SIGINT, these tests too
        preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    part = module.partial_file(target, it)
    # What is not yet in the file is in the process's buffer
    wait_for(lambda: part.exists() and part.stat().st_size)
    time.sleep(0.2)
    process.send_signal(kill)
    _, said = process.communicate(timeout=60)
    assert process.returncode == (130 if kill == signal.SIGINT else -kill)
    assert "Traceback" not in said
    assert not target.exists()
    kept = part.stat().st_size
    assert run(*arguments).returncode == 0
    assert arrived(target)
    assert one.ranges == [None, f"bytes={kept}-"]


def started(*arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "crepe", *arguments], cwd=ROOT, stderr=subprocess.PIPE, text=True, bufsize=1
    )


WAITING = "; waiting for that\n"


def test_one_of_two_downloads_waits_for_the_other(serve, target):
    one = serve(server.holding(100_000))
    arguments = ["download", "x", "--output", str(target), "--config", overlay(source(one.url))]
    first = started(*arguments)
    wait_for(lambda: parts(target) and one.paths)
    second = started(*arguments)
    assert second.stderr.readline() == f"{target}: another process writes it (see {target.parent}/.x.tgz.lock){WAITING}"
    one.released.set()
    for process in (first, second):
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0
    assert "is there already" in said
    assert arrived(target)
    assert len(one.paths) == 1


def test_one_of_two_downloads_goes_on_when_the_other_is_killed(serve, target):
    one = serve(server.holding(100_000), server.good)
    it = source(one.url)
    arguments = ["download", "x", "--output", str(target), "--config", overlay(it)]
    first = started(*arguments)
    part = module.partial_file(target, it)
    wait_for(lambda: part.exists() and part.stat().st_size)
    second = started(*arguments)
    assert second.stderr.readline().endswith(WAITING)
    first.kill()
    first.communicate(timeout=60)
    second.communicate(timeout=60)
    assert second.returncode == 0
    assert arrived(target)
    assert continued(one.ranges[1]) > 0


def test_many_downloads_at_once_ask_once(serve, target):
    one = serve(server.late(0.5))
    arguments = ["download", "x", "--output", str(target), "--config", overlay(source(one.url))]
    processes = [started(*arguments) for _ in range(4)]
    for process in processes:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    assert arrived(target)
    assert len(one.paths) == 1


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


def test_the_published_sources_are_usable():
    """Two sources of every dataset are on the network, each with a checksum; a part may lie on this machine, too."""
    from crepe import config

    catalog = config.load(str(ROOT / "config" / "datasets.yaml")).catalog
    for entry in catalog.datasets.values():
        published = [it for it in entry.sources if it.local is None]
        assert len({it.checksum for it in published}) == len(published) == 2
        assert all(it.url.startswith("https://") for it in published)
        assert entry.subset or published == list(entry.sources)
