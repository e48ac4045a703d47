"""A package index on this machine, of wheels made on the spot: slow, failing or held up at will."""

import contextlib
import io
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def wheel(name: str, version: str, files: dict[str, str], needs: tuple[str, ...] = ()) -> bytes:
    """The smallest wheel that installs `files` (path -> text), and the packages that it `needs` with it."""
    info = f"{name}-{version}.dist-info"
    needed = "".join(f"Requires-Dist: {need}\n" for need in needs)
    files = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needed}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(path, text)
    return buffer.getvalue()


class LocalIndex:
    """An index at `url` (pip's and uv's simple pages); torch's own, with processor builds, at `torch_url`."""

    def __init__(self):
        self.wheels: dict[str, bytes] = {}  # "simple/name-version-py3-none-any.whl" -> content
        self.seen: list[str] = []  # the paths asked for
        self.delay = 0.0  # seconds before each answer
        self.broken = False  # answer with 500
        self.gates: dict[str, threading.Event] = {}  # a wheel's path -> hold it back until set
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                index.answer(self)

            def do_HEAD(self):  # uv asks whether it could fetch parts of a wheel: it cannot
                index.answer(self)

            def log_message(self, *words):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/simple"
        self.torch_url = f"http://127.0.0.1:{self.server.server_port}/torch"

    def add(
        self, name: str, version: str, files: dict[str, str] | None = None, where: str = "simple",
        needs: tuple[str, ...] = (),
    ) -> str:  # fmt: skip
        """Offer a package; the path of its wheel."""
        path = f"{where}/{name}-{version}-py3-none-any.whl"
        self.wheels[path] = wheel(name, version, files or {f"{name}/__init__.py": f"VERSION = {version!r}\n"}, needs)
        return path

    def hold(self, path: str) -> threading.Event:
        """Hold a wheel back until the event that is returned is set."""
        return self.gates.setdefault(path, threading.Event())

    def wait_for(self, path: str, seconds: float = 120) -> None:
        """Wait until someone has asked for this path."""
        end = time.monotonic() + seconds
        while path not in self.seen:
            assert time.monotonic() < end, f"nobody asked for {path}: {self.seen}"
            time.sleep(0.02)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one request: a wheel, a project's page, or an error."""
        path = request.path.strip("/").replace("%2B", "+")
        if request.command == "GET":
            self.seen.append(path)
        time.sleep(self.delay)
        if path in self.gates and request.command == "GET":
            self.gates[path].wait(120)
        where, _, name = path.partition("/")
        links = [p for p in self.wheels if p.startswith(f"{where}/{name.replace('-', '_')}-")]
        if self.broken:
            status, body = 500, b""
        elif path in self.wheels:
            status, body = 200, self.wheels[path]
        else:
            page = "".join(f'<a href="/{p}">{p.split("/")[1]}</a>\n' for p in links)
            status, body = (200 if links else 404), page.encode()
        request.send_response(status)
        request.send_header("Content-Type", "text/html" if not path.endswith(".whl") else "application/zip")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        with contextlib.suppress(ConnectionError):  # the client was stopped
            request.wfile.write(body if request.command == "GET" else b"")

    def close(self) -> None:
        """Stop serving; connections are refused from then on."""
        for gate in self.gates.values():
            gate.set()
        self.server.shutdown()
        self.server.server_close()
