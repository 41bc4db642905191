"""JupyterLab itself: a run is shown, stepped and zoomed, a blocked loop is watched live."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import PATIENCE, until

ROOT = Path(__file__).resolve().parent.parent
SETUP = """\
import socket, threading
from fiberlab import RECV, Trace, show, step
from fiberlab.lab import serving

def holder(sock, address):
    yield RECV(sock)
    release.wait(60)

release = threading.Event()
background = serving(holder, trace=Trace(stall_after=0.02, cpu=True))
server = background.__enter__()
client = socket.create_connection(server.address)
"""
ENDING = "release.set(); client.close(); background.__exit__(None, None, None)"


@contextlib.contextmanager
def jupyterlab(folder: Path) -> Iterator[str]:
    """Run JupyterLab in `folder`, as an empty home; yield its address."""
    pytest.importorskip("jupyterlab", reason="needs jupyterlab: the extra `lessons`")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    home = folder / "home"
    told = {"HOME": str(home), "USERPROFILE": str(home), "PYTHONPATH": str(ROOT)}
    inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    told["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, inherited)])
    options = [
        *("--no-browser", "--allow-root", f"--ServerApp.port={port}", "--ServerApp.port_retries=0"),
        *("--ServerApp.ip=127.0.0.1", "--IdentityProvider.token=", "--ServerApp.password="),
        f"--ServerApp.root_dir={folder}",
    ]
    with (folder / "log.txt").open("w") as log:
        lab = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options],
            cwd=folder, env={**os.environ, **told}, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            yield f"http://127.0.0.1:{port}/lab/tree/run.ipynb?reset"
        finally:
            lab.terminate()  # its kernels are its own to end
            lab.wait(60)


def notebook(path: Path, *cells: str) -> None:
    nbformat = pytest.importorskip("nbformat")
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(each) for each in cells])
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(made, path)


def opened(browser, address: str, folder: Path) -> None:
    """Open the page as soon as the server answers."""
    port = int(address.split(":")[2].split("/")[0])
    for _ in range(600):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            break
        until(browser, "new Promise((done) => setTimeout(() => done(true), 100))")
    browser.get(address)
    until(browser, "document.querySelectorAll('.jp-CodeCell').length > 2")


def run_cell(browser, number: int) -> None:
    """Run a cell as a reader does; again if no kernel was there yet."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    prompt = f"document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')[{number}].innerText"
    ran = f"new Promise((done) => setTimeout(() => done({prompt} !== '[ ]:'), 500))"
    for _ in range(PATIENCE):
        browser.find_elements("css selector", ".jp-CodeCell .cm-content")[number].click()
        keys = ActionChains(browser).key_down(Keys.SHIFT).send_keys(Keys.ENTER).key_up(Keys.SHIFT)
        keys.perform()
        if browser.execute_script(f"return {ran}"):
            return
    raise AssertionError(f"cell {number} does not run")


@pytest.mark.live
@pytest.mark.posix
def test_a_run_is_shown_stepped_zoomed_and_watched_live_in_jupyterlab(chromium, tmp_path):
    pytest.importorskip("anywidget", reason="needs anywidget: the extra `lessons`")
    notebook(tmp_path / "run.ipynb", SETUP, "show(server.trace)", "client.send(b'x')", ENDING,
             "step(server.trace)")  # fmt: skip
    viewers = "document.querySelectorAll('.fl-viewer')"
    with jupyterlab(tmp_path) as address:
        opened(chromium, address, tmp_path)
        until(
            chromium, "document.querySelector('.jp-Notebook-ExecutionIndicator[data-status=idle]')"
        )
        for number in range(3):
            run_cell(chromium, number)
        label = until(chromium, f"{viewers}[0]?.querySelector('.fl-texts span')?.innerText")
        span = f"{viewers}[0].querySelector('.fl-span').innerText"
        first = chromium.execute_script(f"return {span}")
        until(chromium, f"{span} !== {first!r}")
        for number in (3, 4):
            run_cell(chromium, number)
        until(chromium, f"{viewers}.length > 1 && {viewers}[1].querySelector('.fl-sentence')")
        whole = chromium.execute_script(f"return {viewers}[1].querySelector('.fl-span').innerText")
        for hint in ("one event forward", "zoom in"):
            chromium.execute_script(
                f"{viewers}[1].querySelector(`[aria-label^='${{arguments[0]}}']`).click()", hint
            )
        said = until(chromium, f"{viewers}[1].querySelector('.fl-sentence').innerText")
        until(chromium, f"{viewers}[1].querySelector('.fl-span').innerText !== {whole!r}")
        chromium.get("about:blank")

    assert label.startswith("<cell>:7")
    assert said == "accept-1 was added to the scheduler."
