"""One spelling per value."""

import json


def canonical_json(value: object) -> str:
    """JSON with one spelling per value: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
