"""Archives of made-up texts, and the original program's dumps of some."""

import base64
import io
import json

from crepe.config.catalog import Dataset
from crepe.data.archive import pack


def encodings(path):
    """The dumps: label, fields as bytes, alphabet indices."""
    for line in path.open(encoding="utf-8", newline="\n"):
        row = json.loads(line)
        yield row["label"], [base64.b64decode(field) for field in row["fields_b64"]], row["indices"]


def csv(rows):
    r"""Rows of label and fields as the datasets have them: all in quotes, a newline as `\n`; str or bytes."""
    return b"".join(b",".join(map(_quoted, row)) + b"\n" for row in rows)


def _quoted(field):
    field = field if isinstance(field, bytes) else str(field).encode()
    return b'"' + field.replace(b'"', b'""').replace(b"\n", rb"\n") + b'"'


def archive(path, train, test=None, **others):
    """Write an archive of two CSV files; `others` are further files. `test` is like `train` if not given."""
    files = {"train.csv": train, "test.csv": train if test is None else test, **others}
    pack(path, "made_up_csv", {name: io.BytesIO(content) for name, content in files.items()})
    return path


def dataset(rows, test_rows=None, fields=2, classes=2, **changes):
    """What an archive must hold."""
    test_rows = rows if test_rows is None else test_rows
    return Dataset(fields=fields, classes=classes, train_rows=rows, test_rows=test_rows, **changes)
