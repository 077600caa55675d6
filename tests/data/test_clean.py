import base64
import json
import re

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crepe import config, layout
from crepe.cli import main
from crepe.config.catalog import CsvFile, CsvFiles
from crepe.data import clean
from crepe.errors import CrepeError
from crepe.io.files import digest, read_json
from tests.support.paths import GOLDEN
from tests.support.texts import archive, csv, dataset

PROBES = {
    name: base64.b64decode(probe["csv_b64"])
    for name, probe in json.loads((GOLDEN / "csv_probes.json").read_text()).items()
}
GOOD = [(1, "a", "b"), (2, "c", "d")]
BLANKS = " \t\n\v\f\r"


def run(folder, train, test=None, about=None, **others):
    """Clean an archive of these CSV files; returns the rows of the train split."""
    about = about or dataset(len(train.splitlines()))
    path = archive(
        folder / "made-up.tgz",
        train,
        csv([(1, *"ab"[: about.fields])] * about.test_rows) if test is None else test,
        **others,
    )
    clean.clean("toys", about, path, folder / "clean")
    return pl.read_parquet(folder / "clean/train.parquet").rows()


def refuse(folder, *arguments, **options):
    """Clean something that is refused; returns the message."""
    with pytest.raises(CrepeError) as caught:
        run(folder, *arguments, **options)
    assert not list((folder / "clean").glob("*")) + list((folder / "clean").glob(".*")), "nothing may be written"
    message = str(caught.value)
    assert message.startswith(f"{folder}/made-up.tgz: "), message
    return message.removeprefix(f"{folder}/made-up.tgz: ")


def plain(content, fields, classes):
    """The rows of a CSV file, parsed letter by letter like the original program does; None if it is refused."""
    content = content.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
    rows = []
    if b"\0" in content:
        return None
    for line in content.removesuffix(b"\n").split(b"\n"):
        items, rest = [], line
        while rest:
            if not rest.startswith(b'"'):
                item, _, rest = rest.partition(b",")
                items.append(item)
                continue
            item, rest = b"", rest[1:]
            while True:
                text, quote, rest = rest.partition(b'"')
                if not quote:
                    return None
                item += text
                if not rest.startswith(b'"'):
                    break
                item, rest = item + b'"', rest[1:]
            if rest and not rest.startswith(b","):
                return None
            items.append(item)
            rest = rest[1:]
        try:
            label, *texts = [item.decode() for item in items]
        except ValueError:
            return None
        if len(texts) != fields or label not in [str(number) for number in range(1, classes + 1)]:
            return None
        rows.append((int(label) - 1, *(text.replace(r"\n", "\n").strip(BLANKS) for text in texts)))
    return rows


letters = st.sampled_from(
    ["a", "B", '"', '""', ",", "\\", r"\n", "\\\\", "n", *BLANKS.replace("\n", ""), "é", "世", "😀"]
)
texts = st.lists(letters | st.sampled_from(["\u00a0", "\u3000", "\u2028", "\x85", "\ufeff"]), max_size=8).map("".join)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(1, 2), texts, texts), min_size=1, max_size=12), st.data())
def test_any_text_comes_through(tmp_path_factory, rows, data):
    rows = [*GOOD, *rows]
    content = csv(rows)
    expected = [(label - 1, *(text.replace(r"\n", "\n").strip(BLANKS) for text in texts)) for label, *texts in rows]
    folder = tmp_path_factory.mktemp("any")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clean, "CHUNK", data.draw(st.sampled_from([1, 7, 50, 1 << 20])))
        assert run(folder, content, about=dataset(len(rows), 1)) == expected == plain(content, 2, 2)


tokens = st.sampled_from(
    [
        b'"',
        b'""',
        b'","',
        b",",
        b"\n",
        b"\r\n",
        b"1",
        b"2",
        b"3",
        b"a",
        b"\\n",
        b" ",
        b"\r",
        b"\0",
        b"\xff",
        b"\xc3\xa9",
    ]
)
lines = st.one_of(
    st.tuples(
        st.sampled_from([b"1", b'"1"', b'"2"', b"2"]),
        *[st.sampled_from([b'"x"', b'""', b"y", b'a"', b' "b"', b'"""c"', b'"\xc3\xa9,"'])] * 2,
    ).map(b",".join),
    st.lists(tokens, max_size=8).map(b"".join),
)


@pytest.mark.slow
@settings(max_examples=200)
@given(st.lists(lines, max_size=3).map(b"\n".join), st.sampled_from([b"", b"\n", b"\r\n", b",\n", b"\n\n"]))
@example(b'"1","a","b""', b"\n")
@example(b'"1","a","b"', b"\n\n")
@example(b'"1","a"\r\n', b"")
def test_takes_and_refuses_what_the_plain_parser_does(tmp_path_factory, content, end):
    content = csv(GOOD) + content + end
    expected = plain(content, 2, 2)
    folder = tmp_path_factory.mktemp("fuzz")
    about = dataset(len(expected or []) or 1, 1)
    if expected is None:
        assert "train.csv: line " in refuse(folder, content, about=about)
    else:
        assert run(folder, content, about=about) == expected


@pytest.mark.slow
@settings(max_examples=500)
@given(st.lists(st.tuples(st.integers(1, 3), texts, texts), min_size=1, max_size=3), st.data())
def test_the_short_cut_takes_nothing_that_is_malformed(rows, data):
    content = csv(rows)
    start = data.draw(st.integers(0, len(content) - 1))
    stop = data.draw(st.integers(start, min(len(content), start + 2)))
    content = content[:start] + data.draw(tokens | st.just(b"")) + content[stop:]
    content = content.removesuffix(b"\n") + b"\n"
    schema = {"label": pl.Int32(), "field_1": pl.String(), "field_2": pl.String()}
    frame = clean.regular_frame(content, schema, 2)
    if frame is not None:
        found = [
            (label, *(text.replace(r"\n", "\n").strip(BLANKS) for text in texts)) for label, *texts in frame.rows()
        ]
        assert found == plain(content, 2, 2)
    elif content == csv(rows):
        assert max(label for label, *_ in rows) == 3, "regular lines take the short cut"


def test_the_rules(tmp_path):
    fields = [r" \n\tthe \\n new\network\N ", '\u00a0say "hi"\u3000\v\f\r\t']
    assert run(tmp_path, csv([(2, *fields), (1, "", "")]), about=dataset(2)) == [
        (1, "\\tthe \\\n new\network\\N", '\u00a0say "hi"\u3000'),
        (0, "", ""),
    ]


def test_what_is_written(tmp_path):
    run(tmp_path, csv(GOOD * 3), csv(GOOD), about=dataset(6, 2))
    folder = tmp_path / "clean"
    assert sorted(path.name for path in folder.iterdir()) == ["clean.json", "test.parquet", "train.parquet"]
    assert pl.read_parquet_schema(folder / "train.parquet") == {
        "label": pl.Int32,
        "field_1": pl.String,
        "field_2": pl.String,
    }
    assert read_json(folder / "clean.json", "") == {
        "dataset": "toys",
        "archive": digest(tmp_path / "made-up.tgz"),
        "rows": {"train": 6, "test": 2},
        "classes": ["1", "2"],
        "sha256": {split: digest(folder / f"{split}.parquet") for split in ("train", "test")},
    }


def test_rows_keep_their_order_over_many_chunks_and_row_groups(tmp_path, monkeypatch):
    monkeypatch.setattr(clean, "CHUNK", 1000)
    monkeypatch.setattr(clean, "ROW_GROUP", 500)
    rows = [(row % 2 + 1, str(row), "x" * (row % 90)) for row in range(5000)]
    assert run(tmp_path, csv(rows), about=dataset(5000, 1)) == [(label - 1, *texts) for label, *texts in rows]


def test_same_archive_same_bytes(tmp_path):
    rows = csv([(row % 2 + 1, f"title {row}", "x" * (row % 90)) for row in range(30_000)])
    for name in "ab":
        run(tmp_path / name, rows, about=dataset(30_000, 1))
    for split in ("train", "test"):
        assert digest(tmp_path / f"a/clean/{split}.parquet") == digest(tmp_path / f"b/clean/{split}.parquet")


@pytest.mark.parametrize(
    ("probe", "message"),
    [
        ("blank_after_closing_quote", "train.csv: line 1: has ' ,\"b\"' behind a closing quote; a quote inside"),
        ("blank_first_line", "train.csv: line 1: is blank"),
        ("blank_line_at_end", "train.csv: line 3: is blank"),
        ("class_fraction", "train.csv: line 2: class '1.5' is not a whole number"),
        ("class_gap", "train.csv: line 2: class 3 is not among 1 to 2, as the configuration says (`classes`)"),
        ("class_inf", "train.csv: line 1: class 'inf' is not a whole number; a header row must go"),
        ("class_nan", "train.csv: line 1: class 'nan' is not a whole number; a header row must go"),
        ("class_negative", "train.csv: line 1: class -1 is not among 1 to 2"),
        ("class_only", "train.csv: line 1: has 0 text fields, not 2 as the configuration says (`fields`)"),
        ("multiline_quoted", "train.csv: line 1: has a quote that is not closed; a line end inside a field"),
        ("single_class", "train.csv: class 2 (2) has no rows to learn from"),
        ("trailing_empty_unquoted", "train.csv: line 2: has 1 text fields, not 2"),
        ("unterminated_quote", "train.csv: line 1: has a quote that is not closed"),
    ],
)
def test_what_the_original_refuses(tmp_path, probe, message):
    found = refuse(tmp_path, PROBES[probe], about=dataset(2))
    assert found.startswith(message)
    assert found.endswith("; mend the CSV file and pack the archive again")


def test_what_the_original_takes(tmp_path):
    assert run(tmp_path, PROBES["trailing_comma_all_rows"]) == [(0, "a", "b"), (1, "c", "d")]
    assert len(PROBES) == 14


def test_a_class_without_train_rows(tmp_path):
    message = refuse(tmp_path, PROBES["class_gap"], about=dataset(2, classes=3), **{"classes.txt": b"x\ny\nz\n"})
    assert message.startswith("train.csv: class 2 (y) has no rows to learn from")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "train.csv: has 0 rows, not 2"),
        (b"\xef\xbb\xbf", "train.csv: has 0 rows, not 2"),
        (
            b"class,title,text\n" + csv(GOOD),
            "train.csv: line 1: class 'class' is not a whole number; a header row must",
        ),
        (csv(GOOD) + b"class,title,text\n", "train.csv: line 3: class 'class' is not a whole number; mend"),
        (csv([(0, "a", "b")]), "train.csv: line 1: class 0 is not among 1 to 2"),
        (csv([("01", "a", "b")]), "train.csv: line 1: class '01' is not a whole number"),
        (csv([("+1", "a", "b")]), "train.csv: line 1: class '+1' is not a whole number"),
        (csv([(" 1", "a", "b")]), "train.csv: line 1: class ' 1' is not a whole number"),
        (csv([("", "a", "b")]), "train.csv: line 1: class '' is not a whole number"),
        (csv([*GOOD, (1, "a\0", "b")]), "train.csv: line 3: holds a NUL byte"),
        (csv([*GOOD, (1, b"a\xff", "b")]), "train.csv: line 3: is not UTF-8 from byte 7 on"),
        (csv([*GOOD, (1, "a")]), "train.csv: line 3: has 1 text fields, not 2"),
        (csv([*GOOD, (1, "a", "b", "c")]), "train.csv: line 3: has 3 text fields, not 2"),
        (b'"1","a","b""\n', "train.csv: line 1: has a quote that is not closed"),
        (b'"1","a",x"b,c"\n', "train.csv: line 1: has 3 text fields, not 2"),
        (b'"1","a","b"c\n', "train.csv: line 1: has 'c' behind a closing quote"),
        (csv([*GOOD, *GOOD]), "train.csv: has 4 rows, not 2 as the configuration says (`train_rows`)"),
    ],
)
def test_what_else_is_refused(tmp_path, content, message):
    assert refuse(tmp_path, content, about=dataset(2)).startswith(message)


def test_line_numbers_far_into_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(clean, "CHUNK", 100)
    content = csv(GOOD * 500) + b'"1","a"b","c"\n' + csv(GOOD)
    assert refuse(tmp_path, content, about=dataset(1003)).startswith('train.csv: line 1001: has \'b","c"\' behind')


def test_faults_of_the_test_file_are_named_too(tmp_path):
    assert refuse(tmp_path, csv(GOOD), csv([*GOOD, (3, "a", "b")]), about=dataset(2)).startswith(
        "test.csv: line 3: class 3"
    )
    assert refuse(tmp_path, csv(GOOD), csv(GOOD), about=dataset(2, 3)).startswith("test.csv: has 2 rows, not 3")


def test_a_test_file_may_lack_a_class(tmp_path):
    assert len(run(tmp_path, csv(GOOD), csv([(1, "a", "b")]), about=dataset(2, 1))) == 2


@pytest.mark.parametrize("lines", [b"\xef\xbb\xbf" + csv(GOOD), csv(GOOD).replace(b"\n", b"\r\n"), csv(GOOD)[:-1]])
def test_byte_order_mark_and_line_ends_lose_no_text(tmp_path, lines):
    assert run(tmp_path, lines, about=dataset(2)) == [(0, "a", "b"), (1, "c", "d")]


def test_an_endless_line(tmp_path, monkeypatch):
    monkeypatch.setattr(clean, "CHUNK", 10)
    monkeypatch.setattr(clean, "LONGEST_LINE", 50)
    assert len(run(tmp_path, csv([(1, "a" * 30, "b"), (2, "a", "b")]), about=dataset(2, 1))) == 2
    assert refuse(tmp_path / "x", csv([(1, "a" * 90, "b")]), about=dataset(1)).startswith(
        "train.csv: has a line of more"
    )


def test_published_sizes_and_checksums(tmp_path):
    path = archive(tmp_path / "made-up.tgz", csv(GOOD))
    (tmp_path / "good.csv").write_bytes(csv(GOOD))
    md5, sha256 = (digest(tmp_path / "good.csv", algorithm) for algorithm in ("md5", "sha256"))
    size = len(csv(GOOD))

    def about(**test):
        return dataset(2, csv=CsvFiles(train=CsvFile(bytes=size, md5=md5), test=CsvFile(**test)))

    clean.clean("toys", about(bytes=size, sha256=sha256, md5=md5), path, tmp_path / "right")
    for name, test, fault in (
        ("md5", {"md5": "0" * 32}, f"md5 is {md5}, not {'0' * 32} as published (`csv`); "),
        ("sha256", {"sha256": "0" * 64, "md5": md5}, f"sha256 is {sha256}, not {'0' * 64} as published (`csv`); "),
        ("bytes", {"bytes": size + 1, "md5": md5}, f"has {size} bytes, not {size + 1} as published (`csv`); "),
    ):
        message = refuse(tmp_path / name, csv(GOOD), csv(GOOD), about=about(**test))
        assert message.startswith(f"test.csv: {fault}"), message


def test_names_of_the_classes(tmp_path):
    run(tmp_path, csv(GOOD), **{"classes.txt": "Sci/Tech\r\nÉlan \n\n".encode()})
    assert json.loads((tmp_path / "clean/clean.json").read_text())["classes"] == ["Sci/Tech", "Élan"]
    message = refuse(tmp_path / "few", csv(GOOD), **{"classes.txt": b"one\n"})
    assert message == "classes.txt: names 1 classes, not 2 as the configuration says (`classes`)"
    assert refuse(tmp_path / "latin", csv(GOOD), **{"classes.txt": b"\xff\nb"}).startswith("classes.txt: is not UTF-8")


def test_old_files_stay_when_new_ones_fail(tmp_path):
    run(tmp_path, csv(GOOD))
    old = {path.name: path.read_bytes() for path in (tmp_path / "clean").iterdir()}
    with pytest.raises(CrepeError, match="line 1"):
        run(tmp_path, csv(GOOD), b"x\n")
    assert {path.name: path.read_bytes() for path in (tmp_path / "clean").iterdir()} == old


def test_command(tmp_path, monkeypatch, capsys):
    about = dataset(2).as_dict()
    overlay = json.dumps({"catalog": {"datasets": {"toys": about}}})
    config.load(overlay)
    monkeypatch.setattr(layout, "CONFIG", layout.CONFIG.absolute())
    monkeypatch.chdir(tmp_path)
    archive(tmp_path / "data/raw/toys.tgz", csv(GOOD))
    assert main(["clean", "toys", "--config", overlay]) == 0
    assert pl.read_parquet("data/clean/toys/test.parquet").height == 2
    archive(tmp_path / "bad.tgz", b"\n")
    assert main(["clean", "toys", "--config", overlay, "--archive", "bad.tgz", "--output", "out"]) == 1
    assert re.search(r"^crepe clean: bad.tgz: train.csv: line 1: is blank", capsys.readouterr().err, re.MULTILINE)
    assert main(["clean", "toyz", "--config", overlay]) == 1
    assert "dataset 'toyz' is not in the catalog" in capsys.readouterr().err


def test_genuine_archives(shared, tmp_path):
    for key, about in json.loads((shared / "data2/index.json").read_text()).items():
        entry = dataset(about["train_rows"], about["test_rows"], about["fields"], about["classes"])
        clean.clean(key, entry, shared / "data2" / about["file"], tmp_path / key)
        for split in about.keys() & {"train_per_class", "test_per_class"}:
            labels = pl.read_parquet(tmp_path / key / f"{split.removesuffix('_per_class')}.parquet")["label"]
            assert labels.value_counts(sort=False).sort("label")["count"].to_list() == about[split]


def test_sogous_form(tmp_path):
    # Pinyin with the tones as numbers, spaces at the ends, and articles of many lines.
    rows = [
        (
            3,
            "ti3 yu4 : zho1ng guo2 dui4 2 bi3 1 sheng4",
            "be3i ji1ng shi2 jia1n 8 yue4 8 ri4 \n \n qiu2 dui4 zo3u le . ",
        ),
        (5, " nv3 ", ""),
        (1, "qi4 che1", "mo2 te4 "),
        (2, "ca2i ji1ng", "gu3 shi4"),
        (4, "IT", "shu3 ma3 3G"),
    ]
    assert run(tmp_path, csv(rows), about=dataset(5, classes=5, english=False), test=csv(rows)) == [
        (2, rows[0][1], "be3i ji1ng shi2 jia1n 8 yue4 8 ri4 \n \n qiu2 dui4 zo3u le ."),
        (4, "nv3", ""),
        (0, "qi4 che1", "mo2 te4"),
        (1, "ca2i ji1ng", "gu3 shi4"),
        (3, "IT", "shu3 ma3 3G"),
    ]
