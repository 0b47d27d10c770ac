"""The files of the page: which are served, how, and that they are what a strict browser takes."""

import re
import shutil
import subprocess
from pathlib import Path

import azure.functions as func
import pytest

from shared.triggers import page
from tests.unit.engine.house import House

UI = Path(page.__file__).parent.parent / "ui"
MODULES = sorted(UI.glob("*.js"))

#: What makes elements of text, or code of text.
OF_TEXT = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser"
)


async def get(file: str | None, **headers: str) -> func.HttpResponse:
    request = func.HttpRequest(
        method="GET", url="/", body=b"", route_params={"file": file} if file else {},
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )  # fmt: skip
    answer: func.HttpResponse = await House().functions["page_files" if file else "page"](request)
    return answer


def test_every_file_of_the_folder_is_served_and_no_other() -> None:
    assert {*page.FILES, "index.html"} == {path.name for path in UI.iterdir()}


@pytest.mark.parametrize("file", [None, *page.FILES])
async def test_a_file_is_sent_with_its_type_and_not_sent_again_while_it_is_the_same(file: str | None) -> None:
    answer = await get(file)
    assert answer.status_code == 200
    assert answer.get_body() == (UI / (file or "index.html")).read_bytes()
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    again = await get(file, if_none_match=answer.headers["ETag"])
    assert (again.status_code, again.get_body()) == (304, b"")


@pytest.mark.parametrize(
    "file",
    [
        "index.html",
        "..",
        "../triggers/page.py",
        "..%2f..%2fhost.json",
        "APP.JS",
        "app.js/",
        "\0",
        "x" * 9_000,
    ],
)
async def test_nothing_else_is_served(file: str) -> None:
    assert (await get(file)).status_code == 404


def test_the_page_has_no_inline_code_no_inline_style_and_nothing_from_elsewhere() -> None:
    html = (UI / "index.html").read_text()
    assert re.findall(r"<script(?![^>]*\bsrc=)", html) == []
    assert re.findall(r"<style|\bstyle=|\bon[a-z]+=", html) == []
    everything = html + "".join(path.read_text() for path in UI.iterdir())
    addresses = set(re.findall(r"https?://[^\s\"'`)]+", everything))
    assert addresses <= {"http://www.w3.org/2000/svg"}


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_a_module_is_small_and_makes_no_element_of_text(module: Path) -> None:
    text = module.read_text()
    assert len(text.splitlines()) < 300
    assert OF_TEXT.search(text) is None
    assert text.startswith("// "), "a module says what it is for"


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_a_module_is_what_a_browser_can_read(module: Path) -> None:
    command = ["node", "--input-type=module", "--check"]
    checked = subprocess.run(command, input=module.read_text(), capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
