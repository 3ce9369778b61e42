"""examples/rotating_proxies.py with real proxies, one that is dead and one that asks for a password."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from peers.proxies import PLAIN_PASSWORD, PLAIN_USER


def scrape(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(root / "examples" / "rotating_proxies.py"), *arguments],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def test_rotating_proxies(root: Path, tmp_path: Path, proxies, nginx, ca_file: str, closed_port: int) -> None:
    squid, tinyproxy, locked = proxies("squid"), proxies("tinyproxy+auth"), proxies("microsocks+auth")
    listed = tmp_path / "proxies.txt"
    listed.write_text(
        f"""# comment
http://127.0.0.1:{squid.ports["http"]}|2.0|EU
http://{PLAIN_USER}:{PLAIN_PASSWORD}@127.0.0.1:{tinyproxy.port}
socks5h://127.0.0.1:{locked.port}|5
http://127.0.0.1:{closed_port}|5
"""
    )
    urls = [nginx.url("/page.txt", host="127.0.0.1"), nginx.url("/data.json", port="https1", host="127.0.0.1")] * 15
    done = scrape(root, str(listed), *urls, "--ca", ca_file)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(urls) + 4
    good = {f"127.0.0.1:{squid.ports['http']}", f"127.0.0.1:{tinyproxy.port}"}
    assert {line.split(" by ")[1].split(": ")[0] for line in lines[: len(urls)]} <= good
    assert all(line.startswith("200 ") for line in lines[: len(urls)])
    rows = {line.split(" ")[0]: line for line in lines[len(urls) :]}
    bad = {f"127.0.0.1:{locked.port}", f"127.0.0.1:{closed_port}"}
    assert set(rows) == good | bad
    assert all(rows[name].endswith(" ready") for name in good)
    tried = [name for name in bad if "failures 0" not in rows[name]]
    assert tried and all(" rests " in rows[name] for name in tried)
    assert PLAIN_PASSWORD not in done.stdout + done.stderr


def test_each_account_keeps_its_proxy(root: Path, tmp_path: Path, proxies, nginx, ca_file: str) -> None:
    listed = tmp_path / "proxies.json"
    listed.write_text(
        f'["http://127.0.0.1:{proxies("squid").ports["http"]}", "socks5h://127.0.0.1:{proxies("microsocks").port}"]'
    )
    urls = [nginx.url(f"/page.txt?{number}", host="127.0.0.1") for number in range(12)]
    done = scrape(root, str(listed), *urls, "--ca", ca_file, "--accounts", "3")
    assert done.returncode == 0, done.stdout + done.stderr
    by_account: dict[int, set[str]] = {}
    for line in done.stdout.splitlines()[:12]:
        by_account.setdefault(int(line.rpartition("?")[2]) % 3, set()).add(line.split(" by ")[1].split(": ")[0])
    assert len(by_account) == 3 and all(len(used) == 1 for used in by_account.values())


def test_all_dead(root: Path, tmp_path: Path, closed_port: int) -> None:
    listed = tmp_path / "proxies.txt"
    listed.write_text(f"http://127.0.0.1:{closed_port}\n")
    done = scrape(root, str(listed), "https://127.0.0.1:1/")
    assert (done.returncode, done.stderr) == (1, "")
    assert "failed, the proxies' fault" in done.stdout and "PROXY_CONNECT" in done.stdout
    (tmp_path / "none.txt").write_text("# nothing\n")
    assert scrape(root, str(tmp_path / "none.txt"), "https://127.0.0.1:1/").returncode == 2
