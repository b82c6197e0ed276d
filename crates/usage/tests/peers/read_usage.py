"""Reads a usage file with stock DuckDB.

Usage: read_usage.py FILE
Prints one JSON object: the columns with their types, the rows, every number and text as a string, and the key-value
metadata.
"""

import json
import sys

import duckdb


def main(path):
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.read_parquet(path).create_view("usage")
    columns = [[name, str(kind)] for name, kind, *_ in connection.execute("DESCRIBE usage").fetchall()]
    # The time as what it is, in seconds; the rest as text.
    texts = ", ".join(
        "CAST(epoch(logged_at) AS UBIGINT)::VARCHAR" if name == "logged_at" else f"{name}::VARCHAR"
        for name, _ in columns
    )
    rows = connection.execute(f"SELECT {texts} FROM usage").fetchall()
    metadata = connection.execute("SELECT key, value FROM parquet_kv_metadata(?)", [path]).fetchall()
    json.dump(
        {
            "columns": columns,
            "rows": rows,
            "metadata": {key.decode(): value.decode() for key, value in metadata},
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
