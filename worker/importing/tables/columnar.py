"""Parquet, Feather and Arrow files -> CSV, one batch of rows at a time."""

import csv
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from service.errors import ImportRefusedError
from worker.importing.names import printable
from worker.importing.raw_data import Input

FAULTS = (ArithmeticError, EOFError, LookupError, NotImplementedError, OSError, TypeError, ValueError)
"""Arrow's own errors are among these."""
BATCH_ROWS = 1024
PANDAS_INDEX = "__index_level_"
STREAM = b"\xff\xff\xff\xff"


def is_columnar(file: Input) -> bool:
    """By the first bytes; a stream of Arrow has none of its own and is known by its name too."""
    head = file.head()
    is_stream = head.startswith(STREAM) and file.name.lower().endswith((".arrow", ".arrows", ".ipc", ".feather"))
    return head.startswith((b"PAR1", b"ARROW1")) or is_stream


def convert_columnar(path: Path, target: Path) -> list[str]:
    """Writes the rows as CSV; what had to be decided."""
    try:
        return _convert(path, target)
    except FAULTS as error:
        raise ImportRefusedError(
            "columnar-malformed", f"the Parquet or Arrow file is damaged: {printable(str(error))[:300]}"
        ) from error


def _convert(path: Path, target: Path) -> list[str]:
    with ExitStack() as stack:
        schema, batches = _open(path, stack)
        names = [name for name in schema.names if not name.startswith(PANDAS_INDEX)]
        texts = [_texts(schema.field(schema.get_field_index(name))) for name in names if schema.names.count(name) == 1]
        if len(texts) < len(names):
            raise ImportRefusedError("columnar-malformed", "two columns have the same name")
        file = stack.enter_context(target.open("w", encoding="utf-8", errors="backslashreplace", newline=""))
        writer = csv.writer(file)
        writer.writerow(names)
        for batch in batches:
            columns = [text(batch.column(name)) for name, text in zip(names, texts, strict=True)]
            writer.writerows(zip(*columns, strict=True))
    return []


def _open(path: Path, stack: ExitStack) -> tuple[Any, Iterator[Any]]:
    """The schema and batches of rows."""
    import pyarrow as pa  # a tenth of a second
    import pyarrow.parquet as pq

    source = stack.enter_context(pa.memory_map(str(path)))
    head = source.read(6)
    source.seek(0)
    if head.startswith(b"PAR1"):
        parquet = stack.enter_context(pq.ParquetFile(source))
        return parquet.schema_arrow, parquet.iter_batches(BATCH_ROWS, use_threads=False)
    if head == b"ARROW1":
        reader = stack.enter_context(pa.ipc.open_file(source))
        return reader.schema, (
            piece for number in range(reader.num_record_batches) for piece in _pieces(reader.get_batch(number))
        )
    stream = stack.enter_context(pa.ipc.open_stream(source))
    return stream.schema, (piece for batch in stream for piece in _pieces(batch))


def _pieces(batch: Any) -> Iterator[Any]:
    for start in range(0, batch.num_rows, BATCH_ROWS):
        yield batch.slice(start, BATCH_ROWS)


def _texts(field: Any) -> Callable[[Any], list[str]]:
    """What makes texts of a column's values: empty ones for those that are missing."""
    import pyarrow as pa

    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return lambda array: [_joined(value) for value in array.to_pylist()]
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        raise ImportRefusedError(
            "columnar-nested",
            f"column `{printable(field.name)}` holds {'bytes' if not pa.types.is_nested(kind) else 'objects'} (encoded "
            "pictures, say), and a table is one of numbers and text: leave it out, or save the pictures as files, in a "
            "folder for each class",
        )
    return lambda array: [_plain(value) for value in array.cast(pa.string(), safe=False).to_pylist()]


def _plain(value: str | None) -> str:
    return "" if value is None else " ".join(value.split())


def _joined(value: object) -> str:
    """The numbers of a list, and of lists in it, as one text."""
    if isinstance(value, list):
        return " ".join(_joined(part) for part in value)
    return "" if value is None else str(value)
