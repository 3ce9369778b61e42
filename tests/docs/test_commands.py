"""Runs the commands that README.md and docs/ show: the blocks of ```sh.

The blocks of a page are one session, in a folder where `tools/` and `profiles/` are the repository's. A command that listens runs beside the
next ones; where the page names no visit of it, this test visits. What installs or builds is compared with the Makefile instead of being run
again; ```sh no-run has its reason in an HTML comment on the line before.
"""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest

from blocks import ALL_BLOCKS, ROOT, environment
from peers import Peer, free_port, start

SECONDS = 60
BLOCKS = [block for block in ALL_BLOCKS if block.language == "sh"]
PAGES = {page: [*blocks] for page, blocks in groupby(BLOCKS, key=lambda block: block.page)}
PORT = "8443"  # the one that the pages use
VISIT = (
    "import tls_requests; tls_requests.get('https://localhost:%s/', verify='cert.pem', client_identifier='firefox_153')"
)


def makefile_packages() -> set[str]:
    text = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    found = re.search(r"^PACKAGES := (.*)$", text, re.M)
    assert found is not None
    return set(found.group(1).split())


def is_installing(words: list[str]) -> bool:
    """Whether the command is one that this test does not run; what can be checked of it is."""
    if words[:3] == ["sudo", "apt-get", "install"]:
        assert set(words[3:]) | {"python3-venv"} == makefile_packages()
        return True
    return words[:2] == ["pip", "install"] or words[0] in ("make", "cd")


class Shell:
    """Runs commands one after another; one that listens stays until the next visit has been made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = str(free_port())
        self.server: Peer | None = None

    def command(self, words: list[str]) -> list[str]:
        words = [word.replace(PORT, self.port) for word in words]
        if words[0].endswith(".py"):
            return [sys.executable, *words]
        return [sys.executable if words[0] == "python" else words[0], *words[1:]]

    def run(self, words: list[str]) -> None:
        visits = words[0] == "python" and f"https://localhost:{PORT}" in " ".join(words)
        if self.server is not None and not visits:
            self.execute(["python", "-c", VISIT % PORT])
            self.end_server()
        if "serve" in words or "--listen" in words:
            self.server = start("command", self.command(words), {"https": int(self.port)}, self.folder)
            return
        self.execute(words)
        if visits:
            self.end_server()

    def execute(self, words: list[str]) -> None:
        done = subprocess.run(
            self.command(words),
            cwd=self.folder,
            env=environment(self.folder),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}\n{done.stderr}"

    def end_server(self) -> None:
        assert self.server is not None, "a visit of nobody"
        process, self.server = self.server.process, None
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(8)  # one that compares ends by itself
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        text = (self.folder / "log").read_text(encoding="utf-8")
        assert process.wait(SECONDS) in (0, -signal.SIGINT, 130), text
        if process.stdin is not None:
            process.stdin.close()


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    for name in ("tools", "profiles"):
        (tmp_path / name).symlink_to(ROOT / name)
    shell = Shell(tmp_path)
    yield shell
    if shell.server is not None:
        shell.server.process.kill()
        shell.server.process.wait(SECONDS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands(page: Path, shell: Shell) -> None:
    for block in PAGES[page]:
        if block.words == ("no-run",):
            assert re.fullmatch(r"<!-- .{10,} -->", block.before), f"{block.id}: the reason must stand before it"
            continue
        for line in block.code.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words and not is_installing(words):
                shell.run(words)
    if shell.server is not None:
        shell.execute(["python", "-c", VISIT % PORT])
        shell.end_server()


def test_there_are_commands() -> None:
    assert {page.name for page in PAGES} >= {"README.md", "fingerprints.md", "index.md"}


def test_languages() -> None:
    """Each block is of a kind that some test runs, or is what one of them prints."""
    for block in ALL_BLOCKS:
        assert block.language in {"python", "text", "pycon", "ipython", "sh", "json"}, block.id
        if block.language == "json":
            json.loads(block.code)
