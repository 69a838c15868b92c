"""Builds the reference of the public names into a folder: ``python docs/reference.py build/reference``."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import pdoc

import aurora_atlan


def build(folder: Path) -> None:
    """Write the pages, which load nothing from elsewhere. What pdoc cannot make sense of is an error."""
    for name in aurora_atlan.__all__:
        # Imported when it is first asked for, and pdoc only looks.
        getattr(aurora_atlan, name)
    pdoc.render.configure(
        docformat="google",
        footer_text=f"Aurora-Atlan {aurora_atlan.__version__}",
        search=False,
        show_source=False,
        template_directory=Path(__file__).parent / "reference_pages",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # What a connection has of psycopg's own.
        warnings.filterwarnings("ignore", r".*\b(psycopg\.Connection|WatchedConnection)\.")
        # The package's own names, and none of the modules below it.
        pdoc.pdoc("aurora_atlan", r"!aurora_atlan\..*", output_directory=folder)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
