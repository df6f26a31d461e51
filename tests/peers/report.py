#!/usr/bin/env python3
"""Checks the report as a reader sees it: in Chromium, from a file, without a network.

    python3 report.py --ctpipe target/release/ctpipe

runs only these checks; `make test-peers` runs them after the others, on the report of the phantoms.
CTPIPE_REPORT names another report to check. CTPIPE_SCREENSHOTS names a folder for pictures of the
whole page; CTPIPE_UPDATE_SCREENSHOTS=1 renews the pictures that the page is compared with. The
checks talk to Chromium over two pipes, without a driver or a port.
"""
import argparse
import base64
import contextlib
import fcntl
import importlib.util
import io
import itertools
import json
import math
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

from PIL import Image, ImageChops, ImageFilter, ImageStat, PngImagePlugin

from common import Place, Skip, tally

REFERENCES = pathlib.Path(__file__).resolve().parent / "report_screenshots"
WIDTHS = (360, 820, 1280)
SCHEMES = ("light", "dark")
SECTIONS = ("verdict", "data", "model", "results", "provenance")
# How much, of 255, a section may differ on average, and a tile of 128 by 128 pixels. On a report of
# phantoms, other digits give 0.6 and 3.5, an empty chart gives 8 in its tile, and a missing picture
# 150; noise is 0.4 and 1.
TOLERANCE, TOLERANCE_OF_A_TILE, TILE = 2.0, 6.0, 32
# The reference pictures keep greys in steps of this size.
STEP = 3
# How much longer or shorter a section may be: in rows of the quarter-size picture, or as a share.
LONGER, LONGER_SHARE = 16, 0.03
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage", "--hide-scrollbars",
         "--no-default-browser-check", "--host-resolver-rules=MAP * ~NOTFOUND", "--remote-debugging-pipe"]
# The browser sees no other fonts of the machine, so that the same words fill the same lines
# everywhere.
FONTS = pathlib.Path("/usr/share/fonts/truetype/dejavu")
FACES = ("Sans", "Sans-Bold", "SansMono", "SansMono-Bold")
KEYS = {"Tab": 9, "Enter": 13, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowRight": 39, "PageUp": 33, "PageDown": 34}


class Browser:
    """A Chromium with its own profile, and the DevTools protocol over descriptors 3 and 4."""

    def __init__(self):
        program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        if not program:
            raise Skip("there is no Chromium: apt-get install chromium")
        # The folder is removed together with the browser.
        self.profile = tempfile.TemporaryDirectory(prefix="ctpipe-chromium-", ignore_cleanup_errors=True)
        (theirs_in, ours_out), (ours_in, theirs_out) = os.pipe(), os.pipe()
        # The ends must not be descriptors 3 and 4. Other files that Python has open are not
        # inherited.
        high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 20) for end in (theirs_in, theirs_out)]
        os.close(theirs_in), os.close(theirs_out)
        self.log = open(f"{self.profile.name}/log", "w+")
        environment = os.environ | {"HOME": self.profile.name}
        self.own_fonts = all((FONTS / f"DejaVu{name}.ttf").is_file() for name in FACES)
        if self.own_fonts:
            fonts = pathlib.Path(self.profile.name) / "fonts"
            fonts.mkdir()
            for name in FACES:
                (fonts / f"{name}.ttf").symlink_to(FONTS / f"DejaVu{name}.ttf")
            folders = f"<dir>{fonts}</dir><cachedir>{fonts}/cache</cachedir>"
            (fonts / "fonts.conf").write_text(f"<fontconfig>{folders}</fontconfig>")
            environment["FONTCONFIG_FILE"] = str(fonts / "fonts.conf")
        self.child = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={self.profile.name}/profile", "about:blank"], close_fds=False,
            preexec_fn=lambda: (os.dup2(high[0], 3), os.dup2(high[1], 4)), stdin=subprocess.DEVNULL, stdout=self.log,
            stderr=self.log, env=environment, start_new_session=True)
        for end in high:
            os.close(end)
        self.out, self.into = os.fdopen(ours_out, "wb", buffering=0), os.fdopen(ours_in, "rb")
        self.changed, self.answers, self.events, self.gone = threading.Condition(), {}, {}, False
        self.numbers = itertools.count(1)
        threading.Thread(target=self.listen, daemon=True).start()
        self.version = self.ask("Browser.getVersion")["product"]

    def listen(self):
        rest = b""
        while chunk := self.into.read1(1 << 20):
            *whole, rest = (rest + chunk).split(b"\0")
            with self.changed:
                for message in map(json.loads, whole):
                    if "id" in message:
                        self.answers[message["id"]] = message
                    else:
                        self.events.setdefault(message.get("sessionId"), []).append(message)
                self.changed.notify_all()
        with self.changed:
            self.gone = True
            self.changed.notify_all()

    def wait(self, ready, what, seconds=60):
        """The first true result of `ready`, which is called whenever Chromium has sent
        something."""
        with self.changed:
            found = None
            done = self.changed.wait_for(lambda: (found := ready()) or self.gone, seconds)
            found = ready()
        said = "" if found else pathlib.Path(self.log.name).read_text()[-2000:]
        assert found, f"Chromium {'ended' if done else 'did not answer'}: {what}: {said}"
        return found

    def ask(self, method, session=None, **params):
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": params} | ({"sessionId": session} if session else {})
        self.out.write(json.dumps(message).encode() + b"\0")
        answer = self.wait(lambda: self.answers.get(number), method)
        del self.answers[number]
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def close(self):
        with contextlib.suppress(Exception):
            self.ask("Browser.close")
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.child.pid, signal.SIGKILL)
            self.child.wait()
        self.log.close()
        self.profile.cleanup()


# Waits for two frames, so that what a handler has set is laid out and painted.
SETTLED = "await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));"


class Page:
    """The report in a new tab that remembers nothing."""

    def __init__(self, browser, path, width, scheme, height=900):
        self.browser, self.address, self.width = browser, path.as_uri(), width
        self.context = browser.ask("Target.createBrowserContext")["browserContextId"]
        target = browser.ask("Target.createTarget", url="about:blank", browserContextId=self.context)["targetId"]
        self.session = browser.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")
        self.ask("Emulation.setFocusEmulationEnabled", enabled=True)
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.ask("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": "reduce"}])
        self.ask("Page.navigate", url=self.address)
        browser.wait(lambda: self.heard("Page.loadEventFired"), "the page to load")
        self.js(f"await document.fonts.ready; {SETTLED}")
        self.language = self.js("return document.documentElement.lang")

    def ask(self, method, **params):
        return self.browser.ask(method, self.session, **params)

    def heard(self, method):
        return [event["params"] for event in list(self.browser.events.get(self.session, [])) if event["method"] == method]

    def js(self, body, *arguments):
        """The result of an async function with this body; its arguments are in `given`."""
        expression = f"(async given => {{ {body} }})({json.dumps(arguments)})"
        said = self.ask("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True, userGesture=True)
        problem = said.get("exceptionDetails")
        assert not problem, f"{problem['exception'].get('description')} in {body[:300]}"
        return said["result"].get("value")

    def until(self, body, what, *arguments, seconds=5):
        end = time.monotonic() + seconds
        while not (found := self.js(body, *arguments)):
            assert time.monotonic() < end, f"{what}, at a width of {self.width}"
            time.sleep(0.02)
        return found

    def key(self, name):
        common = {"key": name, "code": name, "windowsVirtualKeyCode": KEYS[name]}
        typed = {"type": "keyDown", "text": "\r"} if name == "Enter" else {"type": "rawKeyDown"}
        self.ask("Input.dispatchKeyEvent", **common, **typed)
        self.ask("Input.dispatchKeyEvent", **common, type="keyUp")
        self.js(SETTLED)

    def click(self, selector):
        """Clicks the element with the mouse, where it is visible."""
        x, y, above = self.js("""
            const it = document.querySelector(given[0]);
            if (!it) throw new Error('there is no ' + given[0]);
            it.scrollIntoView({block: 'center', behavior: 'instant'});
            const box = it.getBoundingClientRect(), x = box.x + box.width / 2, y = box.y + box.height / 2;
            const top = document.elementFromPoint(x, y);
            return [x, y, it.contains(top) ? null : top ? top.outerHTML.slice(0, 200) : 'nothing'];""", selector)
        assert above is None, f"a click on {selector} meets {above}"
        for kind in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
        self.js(SETTLED)

    def type_into(self, selector, text):
        self.js("const it = document.querySelector(given[0]); it.focus(); it.select()", selector)
        if not text:
            self.ask("Input.dispatchKeyEvent", type="rawKeyDown", key="Delete", code="Delete", windowsVirtualKeyCode=46)
        for letter in text:
            self.ask("Input.dispatchKeyEvent", type="keyDown", text=letter, key=letter)
            self.ask("Input.dispatchKeyEvent", type="keyUp", key=letter)
        self.js(SETTLED)

    def picture(self, clip=None):
        """A picture of the whole page or of a part of it, in strips, because a page is longer than
        a texture may be."""
        if clip is None:
            size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
            clip = (0, 0, self.width, math.ceil(size["height"]))
        x, y, width, height = clip
        whole = Image.new("RGB", (math.ceil(width), math.ceil(height)))
        for top in range(0, math.ceil(height), 4000):
            area = {"x": x, "y": y + top, "width": width, "height": min(4000, height - top), "scale": 1}
            data = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=area)["data"]
            whole.paste(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"), (0, top))
        return whole

    def numbers(self, text):
        """The numbers in a text in the report's language, each with half a unit of its last
        digit."""
        text = re.sub(r"(?<=\d)[\s\u00a0\u202f\u2009](?=\d{3}(?!\d))", "", text)
        text = text.replace(",", ".") if self.language == "ru" else re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)
        found = []
        for number, percent in re.findall(r"([-\u2212]?\d+(?:\.\d+)?(?:e-?\d+)?)\s?(%?)", text):
            number = number.replace("\u2212", "-")
            places = len(number.partition(".")[2].partition("e")[0]) - int(number.partition("e")[2] or 0)
            scale = 0.01 if percent else 1
            found.append((float(number) * scale, 0.5 * 10.0 ** -places * scale))
        return found

    def close(self):
        """Closes the page and checks that the console has no error and that nothing but the report
        itself was requested."""
        problems = [problem["exceptionDetails"] for problem in self.heard("Runtime.exceptionThrown")]
        problems += [call["args"] for call in self.heard("Runtime.consoleAPICalled") if call["type"] in ("error", "assert")]
        problems += [entry["entry"] for entry in self.heard("Log.entryAdded") if entry["entry"]["level"] == "error"]
        asked = [request["request"]["url"] for request in self.heard("Network.requestWillBeSent")]
        whole = lambda url: url.startswith(("data:", "blob:")) or url.partition("#")[0] == self.address
        strange = [url[:200] for url in asked if not whole(url)]
        self.browser.ask("Target.disposeBrowserContext", browserContextId=self.context)
        self.browser.events.pop(self.session, None)
        assert not problems, f"the console has {json.dumps(problems)[:2000]}"
        assert not strange, f"the page asks for {strange}"


class Report:
    """The report that is checked, and the browser that it is opened in."""

    def __init__(self, ctpipe, place=None):
        self.ctpipe, self.place = ctpipe, place
        self.browser = self.made = None
        self.given = os.environ.get("CTPIPE_REPORT")

    def path(self):
        if self.given:
            path = pathlib.Path(self.given).absolute()
            assert path.is_file(), f"CTPIPE_REPORT names {path}, which is not there"
            return path
        if self.made is None:
            if self.place is None:
                self.place = Place(self.ctpipe)
                self.place.run("synth", "data", "--patients", "16", "--matrix", "128")
                (self.place.folder / "patient.key").write_text("peers")
                self.place.pipeline("data/training_data", "data/training_data.csv")
                self.place.run("run")
            # This is a copy, because other checks continue to work in that folder.
            self.made = pathlib.Path(self.place.folder) / "browser"
            for stage in ("report", "evaluate"):
                shutil.copytree(self.place.folder / "artifacts" / stage, self.made / stage)
        return self.made / "report/report.html"

    @contextlib.contextmanager
    def in_russian(self):
        """The same report in Russian, in the same browser."""
        made = self.path().parent.parent / "russian"
        self.place.run("run", "report", "--set", "report.language=ru")
        for stage in ("report", "evaluate"):
            shutil.copytree(self.place.folder / "artifacts" / stage, made / stage)
        russian = Report(self.ctpipe, self.place)
        russian.browser, russian.made = self.browser, made
        yield russian

    def beside(self, name):
        """A file of `evaluate` that the report was made from, if it is there."""
        path = self.path().parent.parent / "evaluate" / name
        return path if path.is_file() else None

    @contextlib.contextmanager
    def open(self, width=1280, scheme="light"):
        if self.browser is None:
            self.browser = Browser()
        page = Page(self.browser, self.path(), width, scheme)
        yield page
        page.close()

    def close(self):
        if self.browser:
            self.browser.close()


def opens_from_a_file_and_asks_for_nothing(report):
    """The report is complete in one file, and each section has its heading. Every check also checks
    what Page.close checks."""
    size = 0
    with report.open() as page:
        size = report.path().stat().st_size
        assert size <= 5_000_000, f"the report has {size} bytes"
        assert page.language in ("en", "ru"), f"lang is {page.language!r}"
        outside = page.js("""return [...document.querySelectorAll('script[src], link[rel=stylesheet], iframe, object, embed')]
            .map(it => it.outerHTML.slice(0, 200))""")
        assert not outside, outside
        for section in SECTIONS:
            heading = page.js("""const it = document.querySelector('section#' + given[0]);
                const heading = it && document.getElementById(it.getAttribute('aria-labelledby'));
                return heading && it.contains(heading) && heading.tagName + ' ' + heading.textContent.trim()""", section)
            assert heading and heading.startswith("H2 ") and len(heading) > 3, f"section #{section} is headed by {heading}"
    return f"{size:,} bytes, {len(SECTIONS)} sections, in {report.browser.version}"


def links_lead_to_their_sections(report):
    """After a click on a link, at each width, the heading is visible and nothing covers it."""
    for width in WIDTHS:
        with report.open(width) as page:
            links = page.js("return [...document.querySelectorAll('nav[aria-label] a')].map(it => it.getAttribute('href'))")
            missing = [section for section in SECTIONS if f"#{section}" not in links]
            assert not missing, f"the navigation lacks {missing}"
            for link in links:
                page.click(f'nav[aria-label] a[href="{link}"]')
                page.until("""const it = document.querySelector(given[0]);
                    const heading = document.getElementById(it.getAttribute('aria-labelledby')) || it;
                    const box = heading.getBoundingClientRect();
                    const top = document.elementFromPoint(box.x + Math.min(8, box.width / 2), box.y + box.height / 2);
                    return it.checkVisibility({visibilityProperty: true, opacityProperty: true})
                      && top && heading.contains(top)""", f"{link} leads to no heading in sight", link)
    return f"{len(links)} links at {len(WIDTHS)} widths"


COUNTS = ("tp", "fp", "tn", "fn")
RATIOS = {
    "sensitivity": lambda tp, fp, tn, fn: (tp, tp + fn), "specificity": lambda tp, fp, tn, fn: (tn, tn + fp),
    "ppv": lambda tp, fp, tn, fn: (tp, tp + fp), "npv": lambda tp, fp, tn, fn: (tn, tn + fn),
    "f1": lambda tp, fp, tn, fn: (2 * tp, 2 * tp + fp + fn),
}


def at_threshold(page):
    """The counts and the threshold in #results, after checking that the ratios match the counts."""
    said = {}
    for name, text in page.js("""return [...document.querySelectorAll('#results [data-at]')]
            .map(it => [it.dataset.at, it.textContent.trim()])"""):
        assert said.setdefault(name, text) == text, f"{name} is {said[name]!r} in one place and {text!r} in another"
    missing = {*COUNTS, *RATIOS, "threshold"} - said.keys()
    assert not missing, f"nothing says {sorted(missing)}"
    numbers = {name: page.numbers(text) for name, text in said.items()}
    counts = tuple(int(numbers[name][0][0]) for name in COUNTS)
    for name, ratio in RATIOS.items():
        part, whole = ratio(*counts)
        if whole == 0:
            assert not numbers[name], f"{name} is {said[name]!r} where nothing can be divided: {counts}"
        else:
            assert numbers[name], f"{name} is {said[name]!r} at {counts}"
            value, half = numbers[name][0]
            assert abs(value - part / whole) <= half * 1.000001, f"{name} is {said[name]!r} at {counts}: {part / whole}"
    return counts, numbers["threshold"][0], said


def slider_moves_the_counts(report):
    """Moved by keyboard and by script, the slider shows the counts of the predictions
    everywhere."""
    predictions, metrics = report.beside("predictions.parquet"), report.beside("metrics.json")
    parts = {}
    if predictions:
        import pyarrow.parquet

        for row in pyarrow.parquet.read_table(predictions, columns=["split", "label", "probability"]).to_pylist():
            parts.setdefault(row["split"], []).append((row["label"], row["probability"]))
    called = lambda part, threshold, label: sum(p >= threshold for of, p in parts[part] if of == label)
    with report.open() as page:
        assert page.js("""const it = document.querySelector('#results input[type=range]#threshold');
            return it && [...it.labels].some(label => label.textContent.trim())"""), "#threshold is no slider with a label"
        model = at_threshold(page)
        total, pathological = sum(model[0]), model[0][0] + model[0][3]
        ofs = [part for part, rows in parts.items()
               if len(rows) == total and sum(label for label, _ in rows) == pathological]
        part = "test" if "test" in ofs else ofs[0] if ofs else None
        assert part or not parts, f"{pathological} pathological of {total} is no part of the predictions"
        if part and metrics:
            of_model = json.loads(metrics.read_text())[part]["confusion"]
            assert dict(zip(COUNTS, model[0])) == of_model, f"at the model's threshold {model[0]}, metrics.json has {of_model}"

        def agree():
            counts, (threshold, half), _ = found = at_threshold(page)
            assert sum(counts) == total and counts[0] + counts[3] == pathological, f"{counts} are not {total}"
            if part:
                for name, count, label in (("tp", counts[0], 1), ("fp", counts[1], 0)):
                    most, least = (called(part, threshold + off, label) for off in (-half, half))
                    assert least <= count <= most, f"{name} is {count} at {threshold}: {least} to {most} by the predictions"
            return found

        live = lambda: page.js("""return [...document.querySelectorAll(
            '#results output, #results [aria-live]:not([aria-live=off]), #results [role=status]')]
            .map(it => it.textContent).join('|')""")
        value = lambda: page.js("return Number(document.querySelector('#threshold').value)")
        page.js("document.querySelector('#threshold').focus()")
        page.key("Home")
        assert (lowest := agree())[0] == (pathological, total - pathological, 0, 0), f"at the lower end {lowest[0]}"
        before, announced = value(), live()
        page.key("ArrowRight")
        assert value() > before, "an arrow key does not move the slider"
        page.key("ArrowLeft")
        assert value() == before
        seen = [lowest[0]]
        for _ in range(12):
            page.key("PageUp")
            seen.append(agree()[0])
        assert live() != announced, "nothing is announced"
        page.key("End")
        highest = agree()
        saturated = sum(p >= 1 for _, p in parts.get(part, []))
        assert highest[0] == (0, 0, total - pathological, pathological) or saturated, f"at the upper end {highest[0]}"
        seen.append(highest[0])
        assert len(set(seen)) > 1 and all(b[0] <= a[0] and b[1] <= a[1] for a, b in zip(seen, seen[1:])), seen
        places = 101
        for step in range(places):
            page.js(f"""const it = document.querySelector('#threshold'), low = Number(it.min), high = Number(it.max || 100);
                it.value = low + (high - low) * given[0];
                for (const kind of ['input', 'change']) it.dispatchEvent(new Event(kind, {{bubbles: true}})); {SETTLED}""",
                    step / (places - 1))
            seen.append(agree()[0])
        page.click("#threshold-reset")
        assert at_threshold(page) == model, f"after a reset {at_threshold(page)[2]}, at first {model[2]}"
    against = f"the predictions of {part}" if part else "themselves alone: there are no predictions beside the report"
    return f"{len(set(seen))} confusion matrices of {total} series, held against {against}"


def series_are_searched_and_sorted(report):
    with report.open() as page:
        rows = "[...document.querySelectorAll('#series tbody tr')]"
        cells = lambda: page.js(f"return {rows}.map(row => [...row.cells].map(cell => cell.textContent.trim()))")
        counted = "return document.querySelector('#series-count').textContent"
        count = lambda: [int(value) for value, _ in page.numbers(page.js(counted))][:2]
        json.loads(page.js("return document.querySelector('script#series-data[type=\"application/json\"]').textContent"))
        shown, of = count()
        assert shown == of > 1 and 0 < len(cells()) <= of, f"{shown} of {of} series, {len(cells())} rows"
        needle = cells()[-1][0]
        page.type_into("#series-search", needle)
        page.until(f"return {rows}.length && {rows}.every(row => row.textContent.toLowerCase().includes(given[0].toLowerCase()))",
                   f"a search for {needle!r} leaves others", needle)
        found = count()
        assert 0 < found[0] < of == found[1], f"{found} after a search for {needle!r}"
        page.type_into("#series-search", "no such series")
        page.until(f"return {rows}.every(row => row.cells.length < 2)", "a search for nothing leaves rows")
        assert count() == [0, of], f"{count()} after a search for nothing"
        page.type_into("#series-search", "")
        page.until(f"return {rows}.length > 1", "an empty search does not bring the rows back")
        assert count() == [of, of]

        exact = re.compile(r"[-\u2212]?[\d\s\u00a0\u202f\u2009]+([.,]\d+)*\s?%?")
        values = lambda column: [page.numbers(row[column])[0][0] for row in cells() if exact.fullmatch(row[column])]
        table, columns = cells(), 0
        sorts = lambda: page.js("""return [...document.querySelectorAll('#series thead th')]
            .map(it => it.getAttribute('aria-sort'))""")
        assert all(state in ("none", "ascending", "descending", None) for state in sorts()), sorts()
        assert any(sorts()), "no column can be sorted by"
        for column in range(len(table[0])):
            if sorts()[column] is None or len(set(values(column))) < 3 or len(values(column)) < 0.8 * len(table):
                continue
            button = f"#series thead th:nth-child({column + 1}) button"
            unsorted, pages = values(column), {}
            for state in ("ascending", "descending"):
                if columns % 2:
                    page.js("document.querySelector(given[0]).focus()", button)
                    page.key("Enter")
                else:
                    page.click(button)
                expected = [state if at == column else "none" if was else None for at, was in enumerate(sorts())]
                assert sorts() == expected, f"aria-sort is {sorts()} where it is {expected}"
                pages[state] = values(column)
                assert pages[state] == sorted(pages[state], reverse=state == "descending"), f"{state}: {pages[state]}"
            up, down = pages["ascending"], pages["descending"]
            known = unsorted + up + down
            assert up[0] == min(known) < max(known) == down[0], f"from {up[0]} and from {down[0]}, among {sorted(set(known))}"
            columns += 1
        assert columns, "no column of numbers can be sorted by"
    return f"{of} series, {len(table)} rows at a time, sorted by {columns} columns of numbers"


GROUND = """const of = it => getComputedStyle(it).backgroundColor, body = of(document.body);
    return body === 'rgba(0, 0, 0, 0)' ? of(document.documentElement) : body"""


def luminance(colour):
    red, green, blue = (float(part) for part in re.findall(r"[\d.]+", colour)[:3])
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def themes_are_switched(report):
    """Whatever the system prefers, the first press of the button switches to the opposite."""
    states = {}
    for system, other in (SCHEMES, SCHEMES[::-1]):
        with report.open(scheme=system) as page:
            pressed = "return document.querySelector('button#theme').getAttribute('aria-pressed')"
            state = lambda: (luminance(page.js(GROUND)), page.js(pressed))
            states.setdefault(system, set()).add(state())
            for expected in (other, system, other):
                page.click("#theme")
                assert (theme := page.js("return document.documentElement.dataset.theme")) == expected, (theme, expected)
                states.setdefault(expected, set()).add(state())
    assert all(len(found) == 1 for found in states.values()), f"a theme does not look the same however it was come to: {states}"
    (light,), (dark,) = states["light"], states["dark"]
    assert light[0] > 128 > dark[0], f"the luminance of the ground is {light[0]} in light and {dark[0]} in dark"
    assert {light[1], dark[1]} == {"true", "false"}, f"aria-pressed is {light[1]} in light and {dark[1]} in dark"
    return f"luminance {light[0]:.0f} and {dark[0]:.0f}"


def keyboard_reaches_everything(report):
    """Tab reaches every control, and the focus is visible."""
    for scheme in SCHEMES:
        with report.open(scheme=scheme) as page:
            stops = []
            while len(stops) < 1000:
                page.key("Tab")
                stop = page.js("""const it = document.activeElement, style = getComputedStyle(it);
                    if (it === document.body || it.dataset.peersCame) return null;
                    it.dataset.peersCame = 'yes';
                    const box = it.getBoundingClientRect();
                    const drawn = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0;
                    return {what: it.outerHTML.slice(0, 120),
                      seen: drawn && !/, 0\\)$/.test(style.outlineColor) && box.width > 0 && box.height > 0}""")
                if stop is None:
                    break
                stops.append(stop)
            hidden = [stop["what"] for stop in stops if not stop["seen"]]
            assert not hidden, f"in {scheme} one does not see the focus on {hidden}"
            for selector in ("nav[aria-label] a", "#theme", "#threshold", "#threshold-reset", "#series-search",
                             "#series thead button"):
                # A button without a function at the moment may be disabled.
                missed = page.js("""const all = [...document.querySelectorAll(given[0])];
                    return all.length ? all.filter(it => !it.dataset.peersCame && !it.disabled)
                      .map(it => it.outerHTML.slice(0, 120)) : ['there is none']""", selector)
                assert not missed, f"Tab does not come by {selector}: {missed}"
    return f"{len(stops)} stops"


def nothing_runs_over_the_edge(report):
    for width in WIDTHS:
        with report.open(width) as page:
            page.js(f"document.querySelectorAll('details').forEach(it => {{ it.open = true }}); {SETTLED}")
            over = page.js("""const root = document.documentElement, room = root.clientWidth;
                if (root.scrollWidth <= room) return null;
                const clipped = it => it && it !== root && it !== document.body
                  && (getComputedStyle(it).overflowX !== 'visible' || clipped(it.parentElement));
                return [root.scrollWidth, [...document.body.querySelectorAll('*')]
                  .filter(it => it.getBoundingClientRect().right > room + 0.5 && !clipped(it.parentElement))
                  .slice(-3).map(it => it.outerHTML.slice(0, 160))]""")
            assert over is None, f"at a width of {width} the page is {over[0]} wide: {over[1]}"
    return ", ".join(map(str, WIDTHS))


def prints(report):
    """The report prints as a PDF of several pages, in both themes."""
    for scheme in SCHEMES:
        with report.open(scheme=scheme) as page:
            pdf = base64.b64decode(page.ask("Page.printToPDF", preferCSSPageSize=True, printBackground=True)["data"])
            pages = len(re.findall(rb"/Type\s*/Page\b(?!s)", pdf))
            assert pdf.startswith(b"%PDF-") and pages >= 3, f"{pages} pages, {pdf[:8]}"
    return f"{pages} pages, {len(pdf):,} bytes"


# Only violations are failures, not what axe cannot judge, such as text over a picture.
AXE = """const said = await axe.run(document, {resultTypes: ['violations']});
    return [said.passes.length, said.violations.map(it => [it.impact, it.id, it.help, it.nodes.map(node =>
      node.target.join(' ') + ': ' + (node.any[0] || node.all[0] || node.none[0] || {}).message)])]"""


def axe_finds_nothing_serious(report):
    """Light and dark, set by the system and by the button, wide and narrow."""
    package = importlib.util.find_spec("axe_playwright_python")
    if not package:
        raise Skip("there is no axe-core: pip install --no-deps axe-playwright-python")
    # The package needs Playwright and Playwright's own browsers; its copy of axe-core needs
    # nothing.
    source = (pathlib.Path(package.submodule_search_locations[0]) / "axe.min.js").read_text()
    minor = set()
    for width, scheme, press in itertools.product((WIDTHS[0], WIDTHS[-1]), SCHEMES, (False, True)):
        with report.open(width, scheme) as page:
            if press:
                page.click("#theme")
            page.js(f"document.querySelectorAll('details').forEach(it => {{ it.open = true }}); {SETTLED}")
            said = page.ask("Runtime.evaluate", expression=source + "; axe.version", returnByValue=True)
            passed, violations = page.js(AXE)
            grave = [violation for violation in violations if violation[0] in ("serious", "critical")]
            where = f"{scheme}{' and a press' if press else ''} at {width}"
            assert not grave, f"{where}: " + "; ".join(f"{v[0]} {v[1]}, {v[2]}: {len(v[3])} times, {v[3][:3]}" for v in grave)
            minor |= {f"{violation[0]} {violation[1]}" for violation in violations}
    return f"axe-core {said['result']['value']}, {passed} rules passed; besides {', '.join(sorted(minor)) or 'nothing'}"


def cases_show_the_map_that_is_chosen(report):
    """Each choice shows a different picture, and the first choice shows the first picture again."""
    with report.open() as page:
        cases = page.js("return document.querySelectorAll('figure.case').length")
        switches = 0
        for case in range(cases):
            controls = """const figure = document.querySelectorAll('figure.case')[given[0]];
                const control = figure.querySelector('select[name^="method-"]');
                const radios = [...figure.querySelectorAll('input[type=radio][name^="method-"]')];
                const choices = control ? [...control.options] : radios;"""
            choices = page.js(f"{controls} return choices.length", case)
            shown = []
            for choice in [*range(choices), 0]:
                box = page.js(f"""{controls} const chosen = choices[given[1]];
                    if (control) {{
                      control.selectedIndex = given[1];
                      for (const kind of ['input', 'change']) control.dispatchEvent(new Event(kind, {{bubbles: true}}));
                    }} else chosen.click();
                    figure.scrollIntoView({{block: 'center', behavior: 'instant'}});
                    const pictures = [...figure.querySelectorAll('img, canvas, svg')]
                      .filter(it => it.checkVisibility({{visibilityProperty: true}}) && it.getBoundingClientRect().width > 0);
                    await Promise.all(pictures.filter(it => it.decode).map(it => it.decode()));
                    {SETTLED}
                    const boxes = pictures.map(it => it.getBoundingClientRect());
                    const left = Math.min(...boxes.map(it => it.left)), top = Math.min(...boxes.map(it => it.top));
                    return boxes.length ? [left + scrollX, top + scrollY, Math.max(...boxes.map(it => it.right)) - left,
                      Math.max(...boxes.map(it => it.bottom)) - top] : null""", case, choice)
                assert box, f"case {case + 1} shows no picture with choice {choice + 1}"
                # Whole pixels only, because fractions would be drawn differently.
                left, top = math.floor(box[0]), math.floor(box[1])
                picture = page.picture((left, top, math.ceil(box[0] + box[2]) - left, math.ceil(box[1] + box[3]) - top))
                shown.append((picture.size, picture.tobytes()))
            if choices > 1:
                assert len(set(shown)) == choices, f"case {case + 1}: {choices} choices show {len(set(shown))} pictures"
                assert shown[0] == shown[-1], f"case {case + 1}: the first choice looks otherwise the second time"
                switches += choices
        assert cases and switches, f"{cases} cases, {switches} choices"
    return f"{cases} cases, {switches} choices"


def quarter(picture):
    return picture.convert("L").resize((picture.width // 4, max(1, picture.height // 4)), Image.Resampling.BOX)


def difference(found, expected):
    """The mean difference and that of the worst tile, of 255, between two blurred pictures of one
    part of the page, where they overlap."""
    size = min(found.width, expected.width), min(found.height, expected.height)
    one, other = (image.crop((0, 0, *size)).filter(ImageFilter.GaussianBlur(2)) for image in (found, expected))
    off = ImageChops.difference(one, other)
    tiles = [ImageStat.Stat(off.crop((x, y, min(x + TILE, size[0]), min(y + TILE, size[1])))).mean[0]
             for x in range(0, size[0], TILE) for y in range(0, size[1], TILE)]
    return ImageStat.Stat(off).mean[0], max(tiles)


def looks_as_it_did(report):
    """Compares pictures of the whole page at each width, light and dark, with reference pictures,
    which are kept in grey at a quarter of the size.

    Sections are compared one by one, so that an additional line in one does not affect the others.
    """
    folder, update = os.environ.get("CTPIPE_SCREENSHOTS"), os.environ.get("CTPIPE_UPDATE_SCREENSHOTS") == "1"
    assert not (update and report.given), "the pictures to compare with are of the phantoms: leave CTPIPE_REPORT out"
    said, problems, worst = [], [], (0.0, 0.0)
    for scheme, width in itertools.product(SCHEMES, WIDTHS):
        with report.open(width, scheme) as page:
            picture = page.picture()
            tops = page.js("""return [0, ...[...document.querySelectorAll('main section')]
                .map(it => Math.round((it.getBoundingClientRect().top + scrollY) / 4))]""")
        name = f"{scheme}-{width}.png"
        if folder:
            pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
            picture.save(pathlib.Path(folder) / name)
        found, reference = quarter(picture), REFERENCES / name
        if update:
            assert page.browser.own_fonts, f"there are no fonts in {FONTS}: apt-get install fonts-dejavu-core"
            REFERENCES.mkdir(exist_ok=True)
            notes = PngImagePlugin.PngInfo()
            notes.add_text("tops", json.dumps(tops))
            found.point(lambda grey: min(255, round(grey / STEP) * STEP)).save(reference, optimize=True, pnginfo=notes)
            size = reference.stat().st_size
            assert size <= 250_000, f"{reference} has {size} bytes"
            said.append(f"{name} {size // 1000} kB")
        elif reference.is_file() and not report.given and page.browser.own_fonts:
            expected = Image.open(reference)
            of = json.loads(expected.text["tops"])
            expected = expected.convert("L")
            assert len(of) == len(tops), f"{name}: {len(tops) - 1} sections, {len(of) - 1} when it was made"
            bands = lambda image, tops: [image.crop((0, top, image.width, max(top + 1, end)))
                                         for top, end in zip(tops, [*tops[1:], image.height])]
            for index, (now, then) in enumerate(zip(bands(found, tops), bands(expected, of))):
                mean, tile = difference(now, then)
                worst = max(worst[0], mean), max(worst[1], tile)
                longer = abs(now.height - then.height)
                if mean > TOLERANCE or tile > TOLERANCE_OF_A_TILE or longer > max(LONGER, LONGER_SHARE * then.height):
                    problems.append(f"{name}, {f'section {index}' if index else 'its head'}: {mean:.1f} on average, "
                                    f"{tile:.1f} in one place, {4 * then.height} pixels high then, {4 * now.height} now")
            said.append(name)
    if update:
        return "made anew: " + ", ".join(said)
    assert not problems, ("; ".join(problems) + ". Look at it (CTPIPE_SCREENSHOTS=folder); where it is better so: "
                          "CTPIPE_UPDATE_SCREENSHOTS=1")
    if not said:
        return f"{len(SCHEMES) * len(WIDTHS)} pictures, compared with nothing"
    return f"{len(said)} pictures, a section differs by at most {worst[0]:.2f} of 255, one place by {worst[1]:.1f}"


def russian_is_as_good(report):
    """Repeats, in Russian, the checks that depend on words, their length and the format of
    numbers."""
    if report.given:
        raise Skip("it is the report that CTPIPE_REPORT names, whatever its language")
    with report.open() as page:
        assert page.language == "en", f"lang is {page.language!r}"
    with report.in_russian() as russian:
        with russian.open() as page:
            assert page.language == "ru", f"lang is {page.language!r}"
        checks = (slider_moves_the_counts, series_are_searched_and_sorted, nothing_runs_over_the_edge, prints,
                  axe_finds_nothing_serious)
        return "; ".join(str(check(russian)) for check in checks)


CHECKS = (
    opens_from_a_file_and_asks_for_nothing, links_lead_to_their_sections, slider_moves_the_counts,
    series_are_searched_and_sorted, cases_show_the_map_that_is_chosen, themes_are_switched, keyboard_reaches_everything,
    nothing_runs_over_the_edge, prints, axe_finds_nothing_serious, looks_as_it_did, russian_is_as_good,
)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ctpipe", type=pathlib.Path, help="binary that makes the report if CTPIPE_REPORT names none")
    parser.add_argument("only", nargs="*", help="checks to run, by name")
    arguments = parser.parse_args()
    report = Report(arguments.ctpipe and arguments.ctpipe.resolve())
    if not report.given and not arguments.ctpipe:
        parser.error("name a binary (--ctpipe) or a report (CTPIPE_REPORT)")
    try:
        failed = tally((check, report) for check in CHECKS if not arguments.only or check.__name__ in arguments.only)
    finally:
        report.close()
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
