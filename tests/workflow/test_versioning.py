"""DVC's remotes, real ones: a folder, and a server that speaks S3. docs/versioning.md does what it says."""

import hashlib
import re
import shutil
import threading

import boto3
import pytest
import yaml
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from tests.support import tiny
from tests.support.paths import ROOT

PAGE = (ROOT / "docs/versioning.md").read_text()
BLOCKS = [
    "\n".join(block) for block in (re.findall(r"    (.*)", part) for part in re.split(r"\n(?! {4})", PAGE)) if block
]
# Half a minute, but on a machine that is busy otherwise.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
RUN = "results/paper/runs/ag_news/bow/0"
BUCKET = "my-bucket"


class Server:
    """A server of S3, for as long as the block, that can leave uploads without an answer."""

    def __init__(self):
        self.application = DomainDispatcherApplication(create_backend_app)
        self.server = make_server("127.0.0.1", 0, self, threaded=True)
        self.url = f"http://127.0.0.1:{self.server.port}"
        self.stored = []
        self.answered = threading.Semaphore(10**6)
        """As many more uploads get an answer."""
        self.changed = threading.Condition()
        self.closing = threading.Event()

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.closing.set()
        self.server.shutdown()

    def __call__(self, environ, start_response):
        if environ["REQUEST_METHOD"] != "PUT" or "/files/" not in environ["PATH_INFO"]:
            return self.application(environ, start_response)
        if not self.answered.acquire(blocking=False):
            self.closing.wait()

        def respond(status, headers, *rest):
            if status.startswith("200"):
                with self.changed:
                    self.stored.append(environ["PATH_INFO"])
                    self.changed.notify_all()
            return start_response(status, headers, *rest)

        return self.application(environ, respond)


@pytest.fixture(scope="module")
def s3():
    """The server, with a bucket; what speaks S3 in this process and its children finds it."""
    with Server() as server, pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL": server.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            patch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        yield server


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    """A repository in which `dvc repro` has run a tiny study that goes by the name of the paper's."""
    folder = tiny.project(tmp_path_factory.mktemp("versions") / "crepe", ("ag_news",), ("bow",))
    tiny.update(folder / "config/config.yaml", {"name": "paper"})
    shutil.copy2(ROOT / "dvc.yaml", folder)
    tiny.run(folder, "git", "init", "--quiet")
    tiny.run(folder, "dvc", "repro")
    tiny.commit(folder)
    return folder


def copy(origin, name, url):
    """A clone with a remote; `url` may be relative to it."""
    folder = origin.parent / name
    tiny.run(origin.parent, "git", "clone", "--quiet", str(origin), name)
    tiny.run(folder, "dvc", "remote", "add", "--default", "store", url)
    tiny.run(folder, "dvc", "remote", "modify", "store", "verify", "true")
    return folder


def weights(folder):
    """Where the weights are in a remote, below its root."""
    md5 = recorded((folder / RUN / "model.safetensors.dvc").read_text())
    return f"files/md5/{md5[:2]}/{md5[2:]}"


def recorded(text):
    """The checksum in a .dvc file."""
    (out,) = yaml.safe_load(text)["outs"]
    return out["md5"]


def garble(content):
    return content[:-1] + bytes([content[-1] ^ 1])


# --- Through S3


@pytest.fixture(scope="module")
def pushed(origin, s3):
    """What a push sent before it was killed, and what the next one sent."""
    tiny.run(origin, "dvc", "remote", "add", "s3", f"s3://{BUCKET}/pushed")
    s3.answered = threading.Semaphore(3)
    push = tiny.started(origin, "dvc", "push", "--remote", "s3")
    with s3.changed:
        assert s3.changed.wait_for(lambda: len(s3.stored) == 3, 600)
    push.kill()
    push.communicate()
    before = {*s3.stored}
    s3.stored.clear()
    s3.answered = threading.Semaphore(10**6)
    tiny.run(origin, "dvc", "push", "--remote", "s3")
    return before, {*s3.stored}


def test_an_interrupted_push_goes_on_and_a_clone_pulls_all_of_it(origin, pushed):
    before, after = pushed
    assert len(before) == 3
    assert after
    assert not before & after
    assert "Everything is up to date" in tiny.run(origin, "dvc", "push", "--remote", "s3")
    folder = copy(origin, "pulled", f"s3://{BUCKET}/pushed")
    tiny.run(folder, "dvc", "pull")
    assert "up to date" in tiny.run(folder, "dvc", "status")
    assert tiny.planned(folder) == {}
    assert tiny.sha256(folder / RUN / "model.safetensors") == tiny.sha256(origin / RUN / "model.safetensors")


@pytest.mark.usefixtures("pushed")
def test_a_garbled_object_is_noticed_and_a_mended_one_is_pulled(origin):
    client, key = boto3.client("s3"), f"pushed/{weights(origin)}"
    good = client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    client.put_object(Bucket=BUCKET, Key=key, Body=garble(good))
    folder = copy(origin, "garbled", f"s3://{BUCKET}/pushed")
    path = folder / RUN / "model.safetensors"
    text = tiny.run(folder, "dvc", "pull", str(path), status=1)
    assert f"Checkout failed for following targets:\n{RUN}/model.safetensors" in text
    assert not path.exists()
    client.put_object(Bucket=BUCKET, Key=key, Body=good)
    tiny.run(folder, "dvc", "pull", str(path))
    assert path.read_bytes() == good


# --- Through a folder


def test_a_garbled_object_in_a_folder_is_noticed(origin):
    store = origin.parent / "other-store"
    tiny.run(origin, "dvc", "remote", "add", "other", str(store))
    tiny.run(origin, "dvc", "push", "--remote", "other")
    object_ = store / weights(origin)
    object_.chmod(0o644)
    object_.write_bytes(garble(object_.read_bytes()))
    folder = copy(origin, "from-folder", str(store))
    path = folder / RUN / "model.safetensors"
    text = tiny.run(folder, "dvc", "pull", str(path), status=1)
    assert f"Checkout failed for following targets:\n{RUN}/model.safetensors" in text
    assert not path.exists()


# --- As the page says


@pytest.mark.usefixtures("s3")
def test_the_page_does_what_it_says(origin):
    before: list[str] = []
    after: list[str] = []
    for block in BLOCKS:
        (after if after or block.startswith("dvc repro") else before).append(block)
    shell = ("bash", "-e", "-c")
    text = tiny.run(origin, *shell, "\n".join(before))
    assert re.search(r"^results/paper/metrics/ag_news.json +\d", text, flags=re.M)
    assert "Nothing to be done" in text
    # The change between two tables.
    tiny.update(origin / "config/config.yaml", {"training": {"counts": {"epochs": 1, "learning_rate": 0.00001}}})
    text = tiny.run(origin, *shell, "\n".join(after))
    assert "dvc_plots/index.html" in text
    assert "+++ b/results/paper/table.md" in text
    assert re.search(r"^\d\t[01]\.\d{3}\tThe team won the match$", text, flags=re.M)
    for rev, path in (("table-1", "bow/model.safetensors"), ("table-2", "model.safetensors")):
        text = tiny.run(origin, "git", "show", f"{rev}:{RUN}/model.safetensors.dvc")
        assert hashlib.md5((origin.parent / "mine" / path).read_bytes()).hexdigest() == recorded(text)
