"""Each bad input gets the message of `tests/golden/messages.json`, and nothing is changed on disk."""

import json
import shutil
from pathlib import Path

import pytest

from crepe.training.train import RESULTS
from tests.support.bad_inputs import CASES, MESSAGES, Case, answer
from tests.support.made import RUN
from tests.support.paths import contents, inside

EXPECTED = json.loads(MESSAGES.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("section", "case"),
    [pytest.param(section, case, id=case.what) for section, cases in CASES.items() for case in cases],
)
def test_the_message_names_the_fault(whole: Path, tmp_path: Path, section: str, case: Case) -> None:
    with inside(shutil.copytree(whole, tmp_path / "project")):
        case.prepare()
        before = contents(tmp_path)
        status, text = answer(case)
        after = contents(tmp_path)
    # A training that begins removes old results, and one that fails tells onlookers why.
    begun = {f"project/{RUN}/{name}" for name in RESULTS} if f"project/{RUN}/progress.json" in after else set()
    after.pop(f"project/{RUN}/progress.json", None)
    assert after == {file: content for file, content in before.items() if file not in begun}
    assert status in (1, 2)
    assert "Traceback" not in text
    assert text == EXPECTED[section][case.what]


def test_there_is_no_message_without_a_case() -> None:
    assert {section: [case.what for case in cases] for section, cases in CASES.items()} == {
        section: list(messages) for section, messages in EXPECTED.items()
    }
