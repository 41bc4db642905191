"""Build the course as a site: lessons, documentation and the public names, as static pages.

    python docs/site/build.py site
    python docs/site/build.py site --pyodide node_modules/pyodide

Each lesson is run, and what its cells show then is what the pages show. So a timeline and the
viewer in its place are of one run. The rule kept here: pages ask no other host for anything.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from html import escape
from pathlib import Path

import fiberlab
from fiberlab.lab.normal_form import Cell, LessonError, Notebook, read_notebook, to_text
from fiberlab.lab.notebooks import executed, find_notebooks
from fiberlab.viewer.page import held, part, script

HERE = Path(__file__).resolve().parent
PAGES = ("*.md", "LICENSE", "docs/*.*", "bench/*.md", "data/*.md")
PYODIDE = (
    *("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm"),
    *("pyodide-lock.json", "python_stdlib.zip"),
)


class NoSite(ValueError):
    """What keeps a site from being built, in one sentence."""


def build(root: Path, site: Path, pyodide: Path | None = None, stored: bool = False) -> None:
    """Build the site of the repository at `root`, whole or not at all.

    pyodide: the folder of npm's package, for the page on which programs run. stored: take the
    lessons as they are stored; nothing is run, and timelines stay still pictures.
    Raises NoSite.
    """
    try:
        from sphinx.cmd.build import main as sphinx
    except ImportError:
        raise NoSite("needs the extra `site`: python -m pip install -e '.[site]'") from None
    if site.exists() and any(site.iterdir()) and not (site / ".buildinfo").is_file():
        raise NoSite(f"{site} is there and is no site: name another folder")
    if pyodide and (missing := [name for name in PYODIDE if not (pyodide / name).is_file()]):
        raise NoSite(f"{pyodide} is not npm's package pyodide: it has no {missing[0]}")
    with tempfile.TemporaryDirectory() as folder:
        pages, doctrees, made = (Path(folder, name) for name in ("pages", "doctrees", "made"))
        put_pages(root, pages)
        put_lessons(root / "notebooks", pages / "notebooks", stored)
        put_static(pages / "static", pyodide)
        asked = [
            "-q",
            "--fail-on-warning",
            "-d",
            str(doctrees),
            *(["-t", "pyodide"] * bool(pyodide)),
        ]
        if sphinx([*asked, str(pages), str(made)]):
            raise NoSite("Sphinx has refused a page: see above")
        shutil.rmtree(site, ignore_errors=True)
        shutil.copytree(made, site)


def put_pages(root: Path, pages: Path) -> None:
    """Put the site's own pages and the repository's together, so that their links hold."""
    shutil.copytree(HERE, pages)
    for pattern in PAGES:
        for page in root.glob(pattern):
            copy = pages / page.relative_to(root)
            copy.parent.mkdir(exist_ok=True)
            shutil.copy(page, copy)


def put_lessons(lessons: Path, folder: Path, stored: bool) -> None:
    """Put the lessons and their solutions among the pages."""
    paths = find_notebooks([lessons])
    read = read_notebook if stored else partial(executed, keep_runs=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for path, notebook in zip(paths, pool.map(read, paths), strict=True):
            copy = folder / path.relative_to(lessons)
            copy.parent.mkdir(parents=True, exist_ok=True)
            # Solutions and sheets are reached from their lessons, and not from the contents.
            notebook["metadata"]["orphan"] = path.parent != lessons
            copy.write_text(to_text(with_viewers(notebook)), "utf-8")


def with_viewers(notebook: Notebook) -> Notebook:
    """Put each picture into the page, with its alternative text and the runs that it shows."""
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output["data"] = {"text/html": figure(output)}
    return notebook


def figure(output: Cell) -> str:
    """Return the picture of an output as HTML; `runs.js` puts the viewer in its place."""
    about = output["metadata"].get("image/png", {})
    png = "".join(output["data"]["image/png"].split())
    picture = f'<img alt="{escape(about.get("alt", ""))}" src="data:image/png;base64,{png}">'
    if not (runs := about.get("runs")):
        return f'<figure class="fiberlab-still">{picture}</figure>'
    told = escape(json.dumps({"alone": about["alone"], "options": about["options"]}))
    return (
        f'<figure class="fiberlab-run" data-about="{told}">{picture}'
        f"{''.join(map(held, runs))}</figure>"
    )


def put_static(folder: Path, pyodide: Path | None) -> None:
    """Put the viewer beside the files of the site, and what the page needs that runs programs."""
    text = f"(async () => {{\n{script()}\n{(folder / 'runs.js').read_text('utf-8')}}})();\n"
    (folder / "viewer.js").write_text(text, "utf-8")
    (folder / "viewer.css").write_text(part("viewer.css"), "utf-8")
    programs = [path.read_text("utf-8") for path in sorted((HERE / "programs").glob("*.py"))]
    titled = [[text.split('"""')[1].rstrip("."), text] for text in programs]
    (folder / "programs.json").write_text(json.dumps(titled), "utf-8")
    if pyodide is None:
        return
    (folder / "pyodide").mkdir()
    for name in PYODIDE:
        shutil.copy(pyodide / name, folder / "pyodide")
    package = Path(fiberlab.__file__).parent
    with zipfile.ZipFile(folder / "fiberlab.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.write(HERE / "driver.py", "driver.py")
        for path in sorted(package.rglob("*.py")):
            file.write(path, path.relative_to(package.parent))


def main() -> int:
    """Build the site that the command line asks for."""
    parser = argparse.ArgumentParser(description="Build the course as a site.")
    parser.add_argument("site", type=Path, help="the folder of the pages")
    parser.add_argument("--root", type=Path, default=HERE.parent.parent, help="of the repository")
    parser.add_argument("--pyodide", type=Path, help="the folder of npm's package pyodide")
    parser.add_argument("--stored", action="store_true", help="run no lesson: no viewers")
    chosen = parser.parse_args()
    try:
        build(chosen.root, chosen.site, chosen.pyodide, chosen.stored)
    except (NoSite, LessonError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
