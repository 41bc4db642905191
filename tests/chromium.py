"""Chromium without a window, for tests of what a page does; without it they are skipped."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

PATIENCE = 60  # seconds to wait for what takes a blink


@contextlib.contextmanager
def opened(width: int = 1280, height: int = 900) -> Iterator[Any]:
    """Open a browser that keeps what its console says; skip the test if there is none."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium: the extra `test`")
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("needs Debian's chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.add_argument(f"--window-size={width},{height}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options, webdriver.ChromeService(driver))
    browser.set_script_timeout(PATIENCE)
    try:
        yield browser
    finally:
        browser.quit()


def until(browser: Any, script: str) -> Any:
    """Return the value of an expression of the page as soon as it is true."""
    from selenium.webdriver.support.wait import WebDriverWait

    message = f"never true: {script}"
    wait = WebDriverWait(browser, PATIENCE, 0.05)
    return wait.until(lambda page: page.execute_script(f"return {script}"), message)


def complaints(browser: Any) -> list[str]:
    """Return what the console has said since it was asked last."""
    return [each["message"] for each in browser.get_log("browser")]
