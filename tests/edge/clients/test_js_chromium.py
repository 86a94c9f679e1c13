"""The JavaScript client in a browser: its microphone, and the origin of its page."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import threading
import time
import wave
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edge.evaluate import word_errors

if TYPE_CHECKING:
    from tests.edge.clients.conftest import Event, Serve, Server

CLIENT = Path(__file__).parents[3] / "edge" / "clients" / "js"
ECHO = ("--vad", "echo", "--asr", "echo", "--llm", "echo")
PATIENCE_S = 120
"""Only ever waited for in full where something is broken; a browser with a quarter of
the cores hears its file every ten seconds."""
SAID = "go forward ten meters"
SILENCE = bytes(2 * 16_000)
"""A second of it."""

PAGE = """<!doctype html>
<meta charset="utf-8">
<script type="module">
  import { Headside } from "/headside.js";
  import { Microphone } from "/microphone.js";

  let reported = Promise.resolve();
  const report = (event) => {
    const body = JSON.stringify(event);
    // One after another, so that they come in their order.
    reported = reported.then(() => fetch("/report", { method: "POST", body }));
  };
  const headside = new Headside();
  headside.on("message", (message) =>
    report({ ...message, droppedSamples: headside.droppedSamples }),
  );
  try {
    const session = await fetch("/session");
    await headside.connect(await session.json());
    await Microphone.open(headside);
  } catch ({ name, code, message }) {
    report({ type: "failed", name, code, message });
  }
</script>
"""

GATHERING = """<!doctype html>
<meta charset="utf-8">
<script type="module">
  import { pcm16 } from "/pcm.js";

  // Renders at its own pace: no sound card, and nothing that a busy machine could lose.
  const given = new AudioBuffer({ length: 100 * 512, sampleRate: 16_000 });
  const samples = given.getChannelData(0);
  for (let n = 0; n < samples.length; n++) samples[n] = Math.sin(n * n);
  const context = new OfflineAudioContext(1, given.length, given.sampleRate);
  await context.audioWorklet.addModule("/microphone.worklet.js");
  const worklet = new AudioWorkletNode(context, "headside-microphone", {
    numberOfOutputs: 0,
  });
  const source = new AudioBufferSourceNode(context, { buffer: given });
  source.connect(worklet);
  source.start();

  const gathered = [];
  worklet.port.onmessage = ({ data }) => {
    gathered.push(...data);
    if (gathered.length < samples.length) return;
    const expected = pcm16(samples);
    const isSame = gathered.every((sample, n) => sample === expected[n]);
    const body = JSON.stringify({ type: "gathered", n: gathered.length, isSame });
    fetch("/report", { method: "POST", body });
  };
  await context.startRendering();
</script>
"""

pytestmark = pytest.mark.requires_system("chromium")


class Site(ThreadingHTTPServer):
    """Serves the page and the client, and hears what the page reports."""

    session: Event
    page = PAGE

    def __init__(self) -> None:
        handler = partial(Handler, directory=str(CLIENT))
        super().__init__(("127.0.0.1", 0), handler)
        self.reports: queue.Queue[Event] = queue.Queue()

    def handle_error(self, request: object, client_address: object) -> None:
        """Says nothing: a browser that is killed leaves in the middle of a word."""

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def wait(self, kind: str, **fields: object) -> Event:
        """Returns the next report of a type that has these fields."""
        wanted = {"type": kind, **fields}
        reports = self._until(str(wanted))
        return next(each for each in reports if wanted.items() <= each.items())

    def answer(self, words: str) -> list[Event]:
        """Returns all that became of the first utterance with just these words.

        Others are passed over, and so are those that were cut off: where cores are
        taken, the browser itself loses sound or puts silence into it, and speech may
        wait for its answer until the next begins.
        """
        told: dict[int, list[Event]] = defaultdict(list)
        reports = self._until(f"answer to {words!r}")
        while True:
            report = next(reports)
            events = told[report.get("utterance", 0)]
            events.append(report)
            if report["type"] == "turn":
                (heard,) = [each for each in events if each["type"] == "transcript"]
                if word_errors(words, heard["text"]).n_errors == 0:
                    return events

    def _until(self, wanted: str) -> Iterator[Event]:
        """Yields reports, and fails where they do not hold what is wanted in time."""
        passed: list[Event] = []
        until_s = time.monotonic() + PATIENCE_S
        while True:
            try:
                left_s = max(0, until_s - time.monotonic())
                report = self.reports.get(timeout=left_s)
            except queue.Empty:
                pytest.fail(f"no {wanted} after {passed}")
            passed.append(report)
            yield report


class Handler(SimpleHTTPRequestHandler):
    """One request of the browser's."""

    server: Site

    def do_GET(self) -> None:
        if self.path == "/":
            self._answer("text/html", self.server.page)
        elif self.path == "/session":
            self._answer("application/json", json.dumps(self.server.session))
        else:
            super().do_GET()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.reports.put(json.loads(body))
        self._answer("text/plain", "")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Says nothing: tests read what the page reports."""

    def _answer(self, kind: str, body: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as site:
        thread = threading.Thread(target=site.serve_forever)
        thread.start()
        yield site
        site.shutdown()
        thread.join()


@contextmanager
def browsing(address: str, folder: Path, heard: Path) -> Iterator[None]:
    """Shows a page to a browser whose microphone hears a file, again and again."""
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu"]
    command += ["--disable-quic", "--no-first-run", "--disable-sync"]
    command += ["--disable-background-networking", "--disable-component-update"]
    command += ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    command += ["--autoplay-policy=no-user-gesture-required"]
    command += [f"--use-file-for-fake-audio-capture={heard}"]
    command += [f"--user-data-dir={folder}", address]
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        # The browser is many processes.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def write_wave(path: Path, pcm: bytes) -> Path:
    """Returns a file of 16-bit sound at 16 kHz."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(pcm)
    return path


def session(server: Server) -> Event:
    """Returns what the page connects with."""
    return {"port": server.port, "secret": server.secret}


@pytest.mark.models
def test_what_the_microphone_hears_becomes_an_intent(
    site: Site, serve: Serve, recordings: Path, tmp_path: Path
) -> None:
    spoken = (recordings / "goforward.raw").read_bytes()
    heard = write_wave(tmp_path / "heard.wav", SILENCE + spoken + SILENCE)
    site.session = session(serve("--llm", "echo", "--allow-origin", site.origin))

    with browsing(site.origin, tmp_path / "browser", heard):
        answer = site.answer(SAID)

    (move,) = [event for event in answer if event["type"] == "intent"]
    assert move["name"] == "move"
    assert move["slots"] == {"direction": "forward", "distance_m": 10}
    assert move["tier"] == "grammar"
    # What the browser hands over, the client sends.
    assert answer[-1]["droppedSamples"] == 0


def test_every_sample_that_the_microphone_hears_is_handed_to_the_page(
    site: Site, tmp_path: Path
) -> None:
    site.page = GATHERING
    heard = write_wave(tmp_path / "heard.wav", SILENCE)

    with browsing(site.origin, tmp_path / "browser", heard):
        gathered = site.wait("gathered")

    assert gathered["n"] == 100 * 512
    assert gathered["isSame"]


def test_a_page_of_another_origin_is_not_let_in(
    site: Site, serve: Serve, tmp_path: Path
) -> None:
    heard = write_wave(tmp_path / "heard.wav", SILENCE)
    server = serve(*ECHO, "--allow-origin", f"{site.origin}0")
    site.session = session(server)

    with browsing(site.origin, tmp_path / "browser", heard):
        assert site.wait("failed")["code"] == "not_reached"
