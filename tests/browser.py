"""A real JupyterLab and a browser that drives it: what a learner sees, clicked and typed as they would."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from playwright.sync_api import ConsoleMessage, Locator, Page, Playwright

from course_utils.tools.run import ROOT

WAIT = 300  # seconds that a busy machine may take where a free one takes one or two, or runs a lesson in twenty
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# The launcher itself, except that the environment that runs the tests is taken as it is.
LAUNCH = """import sys, course_utils.__main__ as launcher
launcher.prepare = lambda *files, **settings: sys.executable
sys.exit(launcher.main(*sys.argv[1:]))"""
# `notebook`, `kernel` and `code`, the code cells, of the notebook in front; null while it is not ready.
FIND = """const panel = window.jupyterapp?.shell?.currentWidget, context = panel?.context;
    const kernel = context?.isReady && context.sessionContext.isReady && context.sessionContext.session?.kernel;
    if (!kernel) return null;
    const notebook = panel.content, code = notebook.widgets.filter(cell => cell.model.type === "code");
    const tags = cell => cell.model.getMetadata("tags") ?? [];"""
STATE = f"""() => {{ {FIND}
    const errors = code.filter(cell => !tags(cell).includes("raises-exception"))
        .flatMap(cell => cell.model.outputs.toJSON()).filter(output => output.output_type === "error");
    return {{idle: kernel.status === "idle", left: code.filter(cell => !cell.model.executionCount).length,
             error: errors.map(output => `${{output.ename}}: ${{output.evalue}}`)[0] ?? ""}}; }}"""
CELL = f"""words => {{ {FIND}
    return notebook.widgets.findIndex(cell => cell.model.type === "code" && !tags(cell).includes("solution")
        && cell.model.sharedModel.getSource().includes(words)); }}"""
SOURCE = "n => window.jupyterapp.shell.currentWidget.content.widgets[n].model.sharedModel.getSource()"
SCROLL = """(panel, screen) => { const last = panel.scrollHeight - panel.clientHeight;
    panel.scrollTo(0, screen * (panel.clientHeight - 40)); return panel.scrollTop + 1 >= last; }"""
# As the arrow keys do between cells: the cell is selected and has the focus, none of its text.
SELECT = """n => { const notebook = window.jupyterapp.shell.currentWidget.content;
    notebook.activeCellIndex = n; notebook.mode = "command"; notebook.activeCell.node.focus(); }"""


def find_browser(playwright: Playwright) -> str | None:
    """The path of a Chromium or Chrome: the system's, or the one that Playwright itself has fetched."""
    own = playwright.chromium.executable_path
    return next(filter(None, map(shutil.which, BROWSERS)), own if os.path.exists(own) else None)


class Lab:
    """A running JupyterLab at `address`, whose root folder is `folder`."""

    def __init__(self, folder: Path, address: str, token: str):
        self.folder, self.address, self.token = folder, address, token

    def ask(self, path: str, method: str = "GET") -> list | dict:
        """What the server's REST interface answers."""
        headers = {"Authorization": f"token {self.token}"}
        request = urllib.request.Request(f"{self.address}/api/{path}", headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=WAIT) as answer:
            return json.loads(answer.read() or "{}")

    def is_up(self) -> bool:
        """Whether the server answers yet."""
        try:
            return "version" in self.ask("")
        except urllib.error.URLError:
            return False

    def start_afresh(self) -> None:
        """End every kernel, and lay out the notebooks as they are committed, later than their texts as after a pull."""
        for session in self.ask("sessions"):
            self.ask(f"sessions/{session['id']}", "DELETE")
        shutil.rmtree(self.folder, ignore_errors=True)
        ignored = shutil.ignore_patterns(".ipynb_checkpoints")
        shutil.copytree(ROOT / "notebooks", self.folder / "notebooks", ignore=ignored)
        for notebook in (self.folder / "notebooks").glob("*.ipynb"):
            os.utime(notebook)
        shutil.copy(ROOT / "pyproject.toml", self.folder)  # it pairs notebooks with their texts


@contextmanager
def jupyterlab(folder: Path) -> Iterator[Lab]:
    """JupyterLab as the launcher starts it, for one who has never used it, on a copy of the notebooks."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    lab = Lab(folder / "course", f"http://127.0.0.1:{port}", secrets.token_hex())
    lab.folder.mkdir()
    words = ["lab", "--no-browser", f"--ServerApp.port={port}", "--ServerApp.port_retries=0",
             f"--ServerApp.root_dir={lab.folder}", f"--IdentityProvider.token={lab.token}",
             "--LabApp.expose_app_in_browser=True"]  # the tests ask it what the kernel is doing
    home = {f"JUPYTER_{kind}_DIR": str(folder / kind.lower()) for kind in ("CONFIG", "DATA", "RUNTIME")}
    env = {**os.environ, **home, "IPYTHONDIR": str(folder / "ipython")}
    env.pop("COURSE_STRICT", None)  # learners have it not
    log = folder / "jupyterlab.log"
    with open(log, "wb") as file:
        process = subprocess.Popen([sys.executable, "-c", LAUNCH, *words], cwd=ROOT, env=env, stdout=file, stderr=file)
    try:
        deadline = time.monotonic() + WAIT
        while not lab.is_up():
            assert process.poll() is None and time.monotonic() < deadline, log.read_text(errors="replace")
            time.sleep(0.2)
        yield lab
    finally:
        process.terminate()
        process.wait(WAIT)


class Lesson:
    """Lesson 00 in a browser's page.

    `error` is the first one among the outputs, or empty; `complaints` are those in the browser's console.
    Pictures are taken where the variable COURSE_SCREENSHOTS names a folder for them.
    """

    def __init__(self, page: Page, lab: Lab):
        self.page, self.lab = page, lab
        self.pictures = os.environ.get("COURSE_SCREENSHOTS")
        self.error = ""
        self.complaints: list[str] = []
        page.set_default_timeout(WAIT * 1000)
        page.on("console", self._listen)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _listen(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(f"{message.text} ({message.location.get('url')})")

    def open(self, notebook: str = "") -> None:
        """Go where the launcher sends a browser, or to `notebook` alone, and wait for the kernel."""
        place = f"lab/workspaces/{notebook}/tree/notebooks/{notebook}.ipynb" if notebook else ""  # and nothing else
        self.page.goto(f"{self.lab.address}/{place}?token={self.lab.token}")
        self.page.wait_for_function(f"() => ({STATE})()?.idle")

    def run_all(self) -> None:
        """Run every cell from the menu."""
        # The outputs that came with the notebook would pass for new ones.
        self.page.evaluate("window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
        self.page.wait_for_function(f"() => ({STATE})().left")
        self.page.get_by_role("menuitem", name="Run", exact=True).click()
        self.page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        self.wait()
        self.error = self.page.evaluate(STATE)["error"]

    def run_to(self, place: int) -> None:
        """Run the cells from the top to this one."""
        self.page.evaluate("window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
        self.page.evaluate(SELECT, place + 1)
        self.page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-above')")
        self.page.wait_for_function(f"n => {{ {FIND} const cell = notebook.widgets[n];"
                                    " return cell.model.executionCount && kernel.status === 'idle'; }", arg=place)

    def wait(self) -> None:
        """Wait until every cell has run, or one has failed."""
        self.page.wait_for_function(f"() => {{ const it = ({STATE})(); return it.error || (it.idle && !it.left); }}")

    def cell(self, words: str) -> int:
        """The place of the first code cell that holds these words and is no solution."""
        found = self.page.evaluate(CELL, words)
        assert found >= 0, f"no cell holds {words!r}"
        return found

    def node(self, place: int) -> Locator:
        """A cell on the page."""
        return self.page.locator(".jp-NotebookPanel .jp-Notebook-cell").nth(place)

    def output(self, inside: str) -> Locator:
        """The first output that holds an element `inside`."""
        return self.page.locator(".jp-OutputArea-output", has=self.page.locator(inside)).first

    def rewrite(self, place: int, source: str) -> str:
        """Type `source` over a cell's text and run it; what the cell then shows."""
        self.node(place).locator(".cm-content").click()
        self.page.keyboard.press("ControlOrMeta+A")
        self.page.keyboard.insert_text(source)
        assert self.page.evaluate(SOURCE, place) == source
        self.page.evaluate("window.jupyterapp.commands.execute('notebook:clear-cell-output')")
        self.page.wait_for_function(f"() => ({STATE})().left === 1")
        self.page.keyboard.press("ControlOrMeta+Enter")
        self.wait()
        return self.node(place).locator(".jp-OutputArea").inner_text()

    def tab_to(self, kind: str) -> None:
        """Press Tab until the focus is on an element of this kind, as those do who have no mouse."""
        for _ in range(20):
            self.page.keyboard.press("Tab")
            if self.page.evaluate("kind => document.activeElement.matches(kind)", kind):
                return
        raise AssertionError(f"Tab does not lead to {kind}")

    def take_picture(self, name: str) -> None:
        """What is on the screen now, as a file that begins with the width."""
        if self.pictures:
            self.page.screenshot(path=Path(self.pictures, f"{self.page.viewport_size['width']}-{name}.png"))

    def take_pictures(self) -> None:
        """The lesson from top to bottom, as so many screens."""
        panel = self.page.locator(".jp-NotebookPanel .jp-WindowedPanel-outer")
        for screen in count():
            at_the_end = panel.evaluate(SCROLL, screen)
            self.take_picture(f"{screen:02}")
            if at_the_end:
                return
