"""A few of the kills of `make chaos`: the rest are for when there is time."""

import pytest

from tests.support import chaos

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    with chaos.prepared(tmp_path_factory.mktemp("chaos"), ("bow",), seed=0) as study:
        yield study


@pytest.mark.parametrize(
    ("phase", "way"),
    [("download", chaos.BY_HAND), ("clean", chaos.BY_HAND), ("train", chaos.BY_HAND), ("train", "Snakemake")],
)
def test_what_is_killed_ends_with_the_same_bytes(study, phase, way):
    (step,) = [step for step in study.steps if step.phase == phase]
    for _ in range(10):
        study.strike(step, way, most=1)
        # It may have ended before the kill.
        if study.kills[phase, way]:
            break
    assert study.survived[phase, way] == study.kills[phase, way] > 0


def test_harm_is_noticed(study):
    step = next(step for step in study.steps if step.phase == "table")
    run = study.folder / "results/tiny/runs/toys/bow/0"
    (run / "history.csv").write_text("")
    (run / ".history.csv.abcdefgh.part").touch()
    with pytest.raises(chaos.LostError, match=r"/\.history\.csv\.abcdefgh\.part is left over, .*/history\.csv differs"):
        study.strike(step, chaos.BY_HAND, most=1)
    study.restore()
    study.strike(step, chaos.BY_HAND, most=1)
