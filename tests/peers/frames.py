"""Judges frames of the WebSocket by the OpenAPI document: its path is the argument, one JSON frame per line on stdin.
Exits 1 naming every bad frame. A field that no schema names is bad too."""

import json
import sys

from jsonschema import Draft202012Validator

SCHEMA = "#/components/schemas/ServerFrame"


def joined(schema, found):
    """The references inside `allOf`: their objects may have the fields of their neighbours."""
    if isinstance(schema, dict):
        for part in schema.get("allOf", []):
            if "$ref" in part:
                found.add(part["$ref"].rsplit("/", 1)[1])
        for value in schema.values():
            joined(value, found)
    elif isinstance(schema, list):
        for value in schema:
            joined(value, found)
    return found


def close(schema, is_part=False):
    if isinstance(schema, dict):
        if not is_part and ("properties" in schema or "allOf" in schema):
            schema.setdefault("unevaluatedProperties", False)
        for name, value in schema.items():
            if name == "properties":
                for field in value.values():
                    close(field)
            elif name == "allOf":
                for part in value:
                    close(part, True)
            elif name in ("oneOf", "anyOf"):
                for part in value:
                    close(part, is_part)
            else:
                close(value)
    elif isinstance(schema, list):
        for value in schema:
            close(value)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        document = json.load(file)
    schemas = document["components"]["schemas"]
    parts = joined(schemas, set())
    for name, schema in schemas.items():
        close(schema, name in parts)
    validator = Draft202012Validator({"$ref": SCHEMA, "components": {"schemas": schemas}})
    count = bad = 0
    for line in sys.stdin:
        if not line.strip():
            continue
        count += 1
        error = next(validator.iter_errors(json.loads(line)), None)
        if error is not None:
            bad += 1
            reasons = [error.message, *(inner.message for inner in error.context or [])]
            print(f"frame {count} does not fit its schema: {line}", *reasons, sep="\n  ", file=sys.stderr)
    print(f"{count - bad} of {count} frames fit")
    sys.exit(1 if bad or not count else 0)


main()
