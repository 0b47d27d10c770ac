"""Stands for `az`: secrets from a file, requests to the simulator of Azure Resource Manager."""

import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path


def main(words: list[str]) -> int:
    with Path(os.environ["AZ_ASKED"]).open("a") as asked:
        asked.write(" ".join(words) + "\n")
    options = {name: words[index + 1] for index, name in enumerate(words) if name.startswith("--")}
    if words[:3] == ["keyvault", "secret", "show"]:
        sys.stdout.write(os.environ["AZ_SECRET"] + "\n")
        return 0
    assert words[0] == "rest"
    url = options["--url"].replace("https://management.azure.com", os.environ["AZ_SIMULATOR"])
    body = Path(options["--body"].removeprefix("@")).read_bytes() if "--body" in options else None
    if body:
        mode = Path(options["--body"].removeprefix("@")).stat().st_mode & 0o777
        assert mode == 0o600, "others could read the key"
    headers = {"Authorization": "Bearer a-token", "Content-Type": "application/json"}
    request = urllib.request.Request(url, body, headers, method=options["--method"].upper())
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            sys.stdout.write(answer.read().decode())
    except urllib.error.HTTPError as error:
        document = json.loads(error.read() or b"{}")
        sys.stderr.write(f"ERROR: {document.get('error', {}).get('message', error.code)}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
