from pathlib import Path

import pytest

from crepe.errors import CrepeError
from crepe.records.speeds import GUESS, UNKNOWN, Cost, Speed, Speeds

HEAD = "machine,step,kind,codes,rows_per_second,source\n"


def speed(
    machine: str, kind: str, rate: float, codes: float | None = 100, step: str = "train", source: str = ""
) -> Speed:
    return Speed(machine=machine, step=step, kind=kind, codes=codes, rows_per_second=rate, source=source)


def test_between_lengths_seconds_are_interpolated_and_beyond_proportional() -> None:
    speeds = Speeds([speed("a", "net", 10, 300), speed("a", "net", 50, 100)])
    for codes, seconds in ((100, 0.02), (200, 0.06), (300, 0.1), (50, 0.01), (600, 0.2)):
        cost = speeds.cost("a", "train", "net", codes)
        assert cost.seconds == pytest.approx(seconds)
        assert cost.basis == "measured"


def test_what_was_measured_elsewhere_is_scaled_by_what_both_have() -> None:
    speeds = Speeds([speed("gpu", "net", 1000), speed("cpu", "net", 10), speed("cpu", "other", 20)])
    cost = speeds.cost("gpu", "train", "other", 100)
    assert cost.seconds == pytest.approx(1 / 2000)
    assert cost.basis == "scaled"


def test_a_test_that_was_not_measured_takes_as_long_as_training() -> None:
    assert Speeds([speed("a", "net", 10)]).cost("a", "evaluate", "net", 100) == Cost(0.1, "measured")


def test_preparing_data_takes_the_time_of_any_machine() -> None:
    speeds = Speeds([speed("cpu", "", 10, step="clean"), speed("gpu", "net", 1)])
    assert speeds.cost("gpu", "clean", "", 200) == Cost(0.2, "scaled")


def test_guesses_are_called_so_and_nothing_is_scaled_from_them() -> None:
    speeds = Speeds([speed("small", "net", 10, None, source=GUESS), speed("gpu", "own", 1)])
    assert speeds.cost("small", "train", "net", 900) == Cost(0.1, "guessed")
    assert speeds.cost("gpu", "train", "net", 900) == Cost(1 / UNKNOWN, "guessed")


def test_new_speeds_replace_those_of_the_same_length(tmp_path: Path) -> None:
    path = tmp_path / "speeds.csv"
    old = Speeds([speed("a", "net", 10), speed("a", "net", 20, 50), speed("a", "guess", 7, None, source="x, y")])
    old.extended([speed("a", "net", 30)]).write(path)
    assert Speeds.read(path).all == (*old.all[1:], speed("a", "net", 30))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a,b\n", "line 1: expected machine,step,"),
        (HEAD + "a,train,net,1\n", "line 2: has another number of fields"),
        (HEAD + "a,train,net,1,2,,\n", "line 2: has another number of fields"),
        (HEAD + "a,fly,net,1,2,\n", "line 2: step: 'fly' is not known"),
        (HEAD + "a,train,net,1,fast,\n", "line 2: codes and rows_per_second must be numbers"),
        (HEAD + "a,train,net,1,0,\n", "line 2: codes and rows_per_second must be more than 0"),
        (HEAD + "a,train,net,1,nan,\n", "line 2: codes and rows_per_second must be more than 0"),
    ],
)
def test_a_wrong_line_is_refused_by_number(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "speeds.csv"
    path.write_text(text)
    with pytest.raises(CrepeError) as error:
        Speeds.read(path)
    assert fault in str(error.value)


def test_a_missing_table_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CrepeError, match="cannot be read"):
        Speeds.read(tmp_path / "none.csv")


def test_the_projects_table_has_every_network() -> None:
    from crepe.config import load

    speeds, config = Speeds.read(), load()
    for machine in speeds.machines:
        for network in {config.catalog.models[model].network for model in config.models}:
            assert speeds.cost(machine, "train", network, 100).seconds > 0
            assert machine == config.machine or speeds.cost(machine, "train", network, 100).basis != "guessed"
