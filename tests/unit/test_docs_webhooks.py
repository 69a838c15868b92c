"""docs/api.md: its message is signed with its secret, and its programs see that."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text("utf-8")
_SECTION = _PAGE.partition("\n## Webhooks\n")[2].partition("\n## ")[0]


def block(language: str) -> str:
    """Return the section's only block in a language."""
    [found] = re.findall(rf"^```{language}\n(.*?)^```$", _SECTION, re.DOTALL | re.MULTILINE)
    return str(found)


def example() -> tuple[str, dict[str, str], str]:
    """The secret, headers and body that the page shows."""
    [secret] = re.findall(r'"lastErrorAt": null, "secret": "(whsec_[^"]+)"', _PAGE)
    head, _, body = block("http").partition("\n\n")
    return secret, dict(line.split(": ", 1) for line in head.splitlines()[1:]), body.strip()


def in_python(now_s: float, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, dict[str, str], str], bool]:
    monkeypatch.setattr(time, "time", lambda: now_s)
    program: dict[str, Any] = {}
    exec(block("python"), program)

    def verify(secret: str, headers: dict[str, str], body: str) -> bool:
        try:
            program["verify"](secret, headers, body.encode())
        except ValueError:
            return False
        return True

    return verify


def in_javascript(now_s: float, folder: Path) -> Callable[[str, dict[str, str], str], bool]:
    node = shutil.which("node")
    assert node is not None, "node is not on PATH: install Node.js 20 or newer to try what docs/api.md says"
    file = folder / "verify.mjs"
    asked = "const [secret, headers, body] = JSON.parse(process.argv[2]);"
    tried = "try { verify(secret, headers, Buffer.from(body)); } catch (error) { process.exit(3); }"
    file.write_text(f"Date.now = () => {now_s * 1000};\n{block('js')}{asked}\n{tried}\n", encoding="utf-8")

    def verify(secret: str, headers: dict[str, str], body: str) -> bool:
        done = subprocess.run([node, str(file), json.dumps([secret, headers, body])], timeout=30, check=False)
        assert done.returncode in (0, 3)
        return done.returncode == 0

    return verify


@pytest.mark.parametrize("language", ["python", "js"])
def test_the_programs_verify_the_message_and_no_other(language: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    secret, headers, body = example()
    sent_at = int(headers["webhook-timestamp"])

    def at(now_s: float) -> Callable[[str, dict[str, str], str], bool]:
        return in_python(now_s, monkeypatch) if language == "python" else in_javascript(now_s, tmp_path)

    verify = at(sent_at + 2)
    assert verify(secret, headers, body)
    two = {**headers, "webhook-signature": f"v1,AAAA {headers['webhook-signature']}"}
    assert verify(secret, two, body)
    assert not verify(secret, headers, body.replace('"quantity":2', '"quantity":3'))
    assert not verify(secret, {**headers, "webhook-id": "msg_1"}, body)
    assert not verify(secret, {**headers, "webhook-signature": "v1,AAAA"}, body)
    assert not verify("whsec_AAAA", headers, body)
    assert not at(sent_at + 301)(secret, headers, body)
