"""Every bad input of docs/errors.md gets the answer that stands there, and changes nothing."""

import shutil

import pytest

from crepe.training.train import RESULTS
from tests.support.bad_inputs import CASES, PAGE, Case, answer, line
from tests.support.made import RUN
from tests.support.paths import contents, inside


@pytest.mark.parametrize("case", [pytest.param(case, id=case.what) for cases in CASES.values() for case in cases])
def test_the_answer_is_the_pages(whole, tmp_path, case: Case):
    with inside(shutil.copytree(whole, tmp_path / "project")):
        case.prepare()
        before = contents(tmp_path)
        status, text = answer(case)
        after = contents(tmp_path)
        # A training that begins takes old results away, and one that fails tells onlookers why.
        begun = {f"project/{RUN}/{name}" for name in RESULTS} if f"project/{RUN}/progress.json" in after else set()
        after.pop(f"project/{RUN}/progress.json", None)
        assert after == {file: content for file, content in before.items() if file not in begun}
    assert status in (1, 2)
    assert "Traceback" not in text
    assert line(case, text) in PAGE.read_text(encoding="utf-8").splitlines()


def test_the_page_has_these_cases_and_no_others():
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if "<code>" in line]
    names = [line.split(" | ")[0].removeprefix("| ") for line in lines]
    assert names == [case.what for cases in CASES.values() for case in cases]
    assert len(names) >= 60
