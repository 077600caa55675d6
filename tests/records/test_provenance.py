import re
import subprocess
from pathlib import Path

import torch

from crepe.records import provenance


def test_code_is_the_commit_and_whether_it_was_changed(tmp_path: Path, monkeypatch) -> None:
    package = tmp_path / "crepe"
    package.mkdir()
    (package / "a.py").write_text("1")
    monkeypatch.setattr(provenance, "PACKAGE", package)
    assert provenance.code().commit is None
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "a"]):
        subprocess.run([*git, *words], check=True)
    clean = provenance.code()
    assert re.fullmatch("[0-9a-f]{40}", clean.commit)
    assert clean.dirty is False
    (package / "a.py").write_text("2")
    changed = provenance.code()
    assert changed.dirty is True
    assert changed.commit == clean.commit
    assert changed.digest != clean.digest


def test_machine() -> None:
    facts = provenance.machine(torch.device("cpu"))
    assert facts.device == "cpu"
    assert facts.memory_bytes > 10**8
    assert facts.versions["torch"] == torch.__version__
