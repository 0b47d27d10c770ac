"""`python -m local.documents`: writes into docs/ what the code says of its API and its policies.

Tests compare these files with the code, so that whoever changes it sees what changes for callers.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from shared.triggers import openapi, policy_document

DOCS = Path(__file__).resolve().parent.parent / "docs"

DOCUMENTS: Mapping[str, Callable[[], dict[str, Any]]] = {
    "openapi.json": openapi.document,
    "policy.schema.json": policy_document.schema,
}


def text_of(name: str) -> str:
    """Give the text that the file ``name`` has to have."""
    return json.dumps(DOCUMENTS[name](), indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write all of them."""
    for name in DOCUMENTS:
        (DOCS / name).write_text(text_of(name), encoding="utf-8")
        print(f"wrote docs/{name}")


if __name__ == "__main__":
    main()
