"""docs/ledger.md: what it states is what is done."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import psycopg
import pytest

from aurora_atlan import persistence
from aurora_atlan.persistence import audit_rules
from aurora_atlan.persistence.ledger import GENESIS
from ledger_story import COLUMNS, LedgerStory, write

_PAGE = Path(__file__).parents[2] / "docs" / "ledger.md"


def example(name: str) -> str:
    """Return the code block that follows a marker in the page."""
    text = _PAGE.read_text(encoding="utf-8")
    found = re.search(rf"<!-- example: {name} -->\n```\w+\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return found[1]


def worked_example() -> LedgerStory:
    story = LedgerStory(1, capacity=2)
    story.confirmed(1, user_id=41)
    story.rejected(2, user_id=42, quantity=2)
    return story


def test_the_worked_example_hashes_as_the_page_says() -> None:
    lines = example("canonical").splitlines()
    hashes = example("hashes").splitlines()

    assert [hashlib.sha256(line.encode()).hexdigest() for line in lines] == hashes
    assert [json.loads(line)[13] for line in lines] == [GENESIS.hex(), *hashes[:-1]]
    assert lines[0].encode()[:32].hex(" ") == example("bytes").strip()
    assert f"The first 32 of the {len(lines[0].encode())} bytes" in _PAGE.read_text(encoding="utf-8")


def test_the_audit_makes_the_bytes_of_the_worked_example() -> None:
    entries = [audit_rules.Entry(*(row[name] for name in COLUMNS)) for row in worked_example().entries]

    assert [audit_rules.canonical(entry).decode() for entry in entries] == example("canonical").splitlines()


def test_every_rule_is_described() -> None:
    sources = [path.read_text(encoding="utf-8") for path in Path(persistence.__path__[0]).glob("audit*.py")]
    used = {rule for source in sources for rule in re.findall(r'\.(?:_?add)\(\s*"([a-z_]+)"', source)}
    table = _PAGE.read_text(encoding="utf-8").partition("| `rule` |")[2].partition("\n\n")[0]

    assert used == set(re.findall(r"`([a-z_]+)`", " ".join(row.split("|")[1] for row in table.splitlines()[2:])))


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")
def test_the_verifier_in_javascript_agrees(database_url: str, tmp_path: Path) -> None:
    program = tmp_path / "verify.js"
    program.write_text(example("verifier"), encoding="utf-8")

    def verify(connection: psycopg.Connection) -> subprocess.CompletedProcess[str]:
        exported = connection.execute(example("export").encode()).fetchall()
        lines = "".join(json.dumps(row[0]) + "\n" for row in exported)
        return subprocess.run(["node", program], input=lines, capture_output=True, text=True, check=False)

    story = worked_example()
    with psycopg.connect(database_url) as connection:
        write(connection, story)
        honest = verify(connection)
        connection.execute(example("tampering").encode())
        changed = verify(connection)

    assert honest.stdout == f"3 entries, head {story.entries[-1]['hash'].hex()}\n"
    assert honest.returncode == 0
    assert changed.returncode == 1
    assert "entry 2 was changed" in changed.stderr


def test_the_ledger_refuses_changes_as_the_page_says(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        write(connection, worked_example())
        with pytest.raises(psycopg.Error, match="booking_ledger is append-only"):
            connection.execute("UPDATE booking_ledger SET user_id = 1 WHERE event_id = 1 AND entry_number = 2")
