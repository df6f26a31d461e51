#!/usr/bin/env python3
"""Makes the pictures of the README and of the book from the demonstration.

    python3 docs/pictures/make.py --ctpipe target/release/ctpipe

It makes the demonstration in a temporary folder and writes, beside itself, report-light.png and report-dark.png (the top
of the report in Chromium) and run.svg (a recording of `ctpipe run --profile demo` and `ctpipe status`). It needs Chromium
and Pillow, which docs/requirements.txt has, and no network. `--demo FOLDER` takes the report of a finished demonstration
and makes no recording.
"""
import argparse
import codecs
import fcntl
import html
import os
import pathlib
import pty
import re
import select
import shutil
import struct
import subprocess
import tempfile
import termios
import time

from PIL import Image

HERE = pathlib.Path(__file__).resolve().parent
PROJECT = HERE.parents[1]

# The report: CSS pixels of the window, and what is cut out of it. The scale is for screens of high resolution.
WINDOW, CROP, SCALE = (1080, 900), (24, 16, 1056, 852), 2
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage", "--hide-scrollbars",
         "--no-default-browser-check", "--host-resolver-rules=MAP * ~NOTFOUND"]
# What Chromium calls the two values of prefers-color-scheme.
SCHEMES = {"light": 1, "dark": 0}
FONTS = pathlib.Path("/usr/share/fonts/truetype/dejavu")
FACES = ("Sans", "Sans-Bold", "SansMono", "SansMono-Bold")

# The terminal.
COLUMNS, ROWS = 154, 26
# Seconds that a frame is shown: each, the first and the last one.
FRAME, FIRST, LAST = 0.3, 1.0, 8.0
# Of a wait between two lines, at most so many frames are kept.
WAITING = 3
# Light and dark values of what a terminal colours: background, text, prompt, dim, and the eight colours of ANSI.
PALETTE = {
    "back": ("#f6f8fa", "#0d1117"), "text": ("#1f2328", "#e6edf3"), "prompt": ("#1a7f37", "#3fb950"),
    "dim": ("#59636e", "#9198a1"), "c0": ("#24292f", "#6e7681"), "c1": ("#cf222e", "#ff7b72"), "c2": ("#116329", "#3fb950"),
    "c3": ("#7d4e00", "#d29922"), "c4": ("#0969da", "#58a6ff"), "c5": ("#8250df", "#bc8cff"), "c6": ("#1b7c83", "#39c5cf"),
    "c7": ("#59636e", "#b1bac4"),
}


class Screen:
    """As much of a terminal as the program's bars need: lines that wrap and scroll, moves, erasing, colours."""

    def __init__(self):
        self.rows, self.x, self.y, self.style, self.rest = [self.blank() for _ in range(ROWS)], 0, 0, "", ""

    @staticmethod
    def blank():
        return [(" ", "")] * COLUMNS

    def feed(self, text):
        text, self.rest = self.rest + text, ""
        # A sequence that is cut in two waits for its second half.
        if unfinished := re.search(r"\x1b(\[[0-9;?]*)?$", text):
            text, self.rest = text[: unfinished.start()], text[unfinished.start():]
        for numbers, letter, character in re.findall(r"\x1b\[([0-9;?]*)([A-Za-z])|([^\x1b])", text):
            self.move(numbers, letter) if letter else self.put(character)

    def put(self, character):
        if character == "\r":
            self.x = 0
        elif character == "\n":
            self.down()
        elif character == "\b":
            self.x = max(0, self.x - 1)
        elif character.isprintable():
            if self.x == COLUMNS:
                self.x = 0
                self.down()
            self.rows[self.y][self.x] = (character, self.style)
            self.x += 1

    def down(self):
        if self.y == ROWS - 1:
            self.rows = self.rows[1:] + [self.blank()]
        else:
            self.y += 1

    def move(self, numbers, letter):
        given = [int(number) for number in numbers.strip("?").split(";") if number]
        count = given[0] if given else 0
        if letter == "A":
            self.y = max(0, self.y - max(1, count))
        elif letter == "B":
            self.y = min(ROWS - 1, self.y + max(1, count))
        elif letter == "C":
            self.x = min(COLUMNS - 1, self.x + max(1, count))
        elif letter == "D":
            self.x = max(0, self.x - max(1, count))
        elif letter == "G":
            self.x = max(0, min(COLUMNS, max(1, count)) - 1)
        elif letter == "K":
            start, end = {0: (self.x, COLUMNS), 1: (0, self.x + 1), 2: (0, COLUMNS)}[count]
            self.rows[self.y][start:end] = [(" ", "")] * (min(end, COLUMNS) - start)
        elif letter == "J":
            self.move("0", "K")
            for row in range(self.y + 1, ROWS):
                self.rows[row] = self.blank()
        elif letter == "m":
            self.colour(given or [0])

    def colour(self, given):
        for code in given:
            if code == 0:
                self.style = ""
            elif code in (1, 2) or 30 <= code <= 37 or 90 <= code <= 97:
                name = {1: "bold", 2: "dim"}.get(code, f"c{code % 10}")
                self.style = " ".join([*filter(None, self.style.split()), name])
            elif code == 39:
                self.style = " ".join(name for name in self.style.split() if not re.fullmatch(r"c\d", name))

    def picture(self):
        """Each line as runs of one style, without the blanks at its end."""
        lines = []
        for row in self.rows:
            runs = []
            for character, style in row:
                if runs and runs[-1][1] == style:
                    runs[-1][0] += character
                else:
                    runs.append([character, style])
            if runs[-1][1] == "":
                runs[-1][0] = runs[-1][0].rstrip()
            lines.append(tuple((text, style) for text, style in runs if text))
        return tuple(lines)


def record(screen, ctpipe, arguments, folder):
    """The screen at every moment at which it changed, with its time."""
    prompt = [("$", "prompt"), (" ", ""), *((letter, "") for letter in f"ctpipe {' '.join(arguments)}")]
    screen.rows[screen.y][: len(prompt)] = prompt
    seen = [(0.0, screen.picture())]
    screen.x = 0
    screen.down()
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    start = time.monotonic()
    child = subprocess.Popen([ctpipe, *arguments], cwd=folder, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs,
                             start_new_session=True, env=os.environ | {"TERM": "xterm-256color", "LANG": "C.UTF-8"})
    os.close(theirs)
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    while True:
        select.select([ours], [], [])
        try:
            chunk = os.read(ours, 1 << 16)
        except OSError:
            break
        if not chunk:
            break
        # A line that is drawn in several writes is looked at when it is whole.
        while select.select([ours], [], [], 0.01)[0] and len(chunk) < 1 << 20:
            try:
                more = os.read(ours, 1 << 16)
            except OSError:
                break
            chunk += more
            if not more:
                break
        screen.feed(decoder.decode(chunk))
        if seen[-1][1] != (now := screen.picture()):
            seen.append((time.monotonic() - start, now))
    os.close(ours)
    assert child.wait() == 0, f"ctpipe {' '.join(arguments)} ended with {child.returncode}"
    return seen


def lasting(screen):
    """The lines that stay: without bars, which may take two lines, and spinners."""
    lines, of_bar = [], False
    for text in ("".join(part for part, _ in line) for line in screen):
        begins = bool(re.search(r"^\w+ +(\[[=> ]{24}\]|\S \d+\w$)", text))
        if text and not begins and not (of_bar and text.endswith(" left)")):
            lines.append(text)
        of_bar = begins
    return lines


def frames(seen):
    """Every screen with a new line, and of the waits between them a few with their bars."""
    kept, waiting, last = [], [], None
    for _, screen in seen:
        lines = lasting(screen)
        if lines == last:
            waiting.append(screen)
            continue
        step = max(1, len(waiting) // WAITING)
        kept += waiting[step - 1:: step][:WAITING]
        waiting, last = [], lines
        kept.append(screen)
    return kept


def svg(shown, title):
    """Frames that follow each other for ever; where motion is unwelcome, the last one stands still."""
    width, height, pad = 8.4, 19, 16
    wide, high = round(COLUMNS * width + 2 * pad), ROWS * height + 2 * pad
    times = [FIRST] + [FRAME] * (len(shown) - 2) + [LAST]
    total = sum(times)
    names, texts = {}, []

    def name(line):
        if line not in names:
            names[line] = f"l{len(names)}"
            spans, column = [], 0
            for text, style in line:
                # The length is said, so that columns line up in whatever font there is.
                if text.strip():
                    place = f'x="{column * width:.5g}" textLength="{len(text) * width:.5g}"'
                    kind = f' class="{style}"' if style else ""
                    spans.append(f"<text {place}{kind}>{html.escape(text)}</text>")
                column += len(text)
            texts.append(f'<g id="{names[line]}">{"".join(spans)}</g>')
        return names[line]

    groups, rules, at = [], [], 0.0
    for number, (screen, seconds) in enumerate(zip(shown, times)):
        lines = "".join(f'<use href="#{name(line)}" y="{row * height}"/>' for row, line in enumerate(screen) if line)
        groups.append(f'<g class="f" id="f{number}">{lines}</g>')
        start, end = 100 * at / total, 100 * (at + seconds) / total
        at += seconds
        before = f"0%,{start:.2f}%{{opacity:0}}" if number else ""
        after = f"{end:.2f}%,100%{{opacity:0}}" if number < len(shown) - 1 else "100%{opacity:1}"
        rules.append(f"@keyframes k{number}{{{before}{start + (0.01 if number else 0):.2f}%,{end - 0.01:.2f}%{{opacity:1}}{after}}}"
                     f"#f{number}{{animation-name:k{number}}}")
    colours = ["".join(f".{key}{{fill:{values[which]}}}" for key, values in PALETTE.items()) for which in (0, 1)]
    style = (
        "text{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;font-size:14px;"
        f"white-space:pre}}{colours[0].replace('.text{', 'text{')}.bold{{font-weight:bold}}"
        f"@media(prefers-color-scheme:dark){{{colours[1].replace('.text{', 'text{')}}}"
        f".f{{opacity:0;animation-duration:{total:.1f}s;animation-iteration-count:infinite;animation-timing-function:step-end}}"
        f"#f{len(shown) - 1}{{opacity:1}}@media(prefers-reduced-motion:reduce){{.f{{animation:none!important}}}}"
        + "".join(rules))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}" height="{high}" role="img">\n'
        f"<title>{html.escape(title)}</title>\n<style>{style}</style>\n<defs>\n" + "\n".join(texts) + "\n</defs>\n"
        f'<rect class="back" width="{wide}" height="{high}" rx="8"/>\n'
        f'<g transform="translate({pad} {pad + 14})">\n' + "\n".join(groups) + "\n</g>\n</svg>\n")


def photograph(report, scheme, target):
    """The top of the report as a reader with this colour scheme sees it."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert program, "there is no Chromium: apt-get install chromium fonts-dejavu-core"
    with tempfile.TemporaryDirectory(prefix="ctpipe-chromium-", ignore_cleanup_errors=True) as profile:
        environment = os.environ | {"HOME": profile}
        if all((FONTS / f"DejaVu{face}.ttf").is_file() for face in FACES):
            # The machine's other fonts are kept from the browser: the same words fill the same lines everywhere.
            fonts = pathlib.Path(profile) / "fonts"
            fonts.mkdir()
            for face in FACES:
                (fonts / f"{face}.ttf").symlink_to(FONTS / f"DejaVu{face}.ttf")
            folders = f"<dir>{fonts}</dir><cachedir>{fonts}/cache</cachedir>"
            (fonts / "fonts.conf").write_text(f"<fontconfig>{folders}</fontconfig>")
            environment["FONTCONFIG_FILE"] = str(fonts / "fonts.conf")
        shot = pathlib.Path(profile) / "shot.png"
        subprocess.run(
            [program, *FLAGS, f"--user-data-dir={profile}/profile", f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}",
             f"--window-size={WINDOW[0]},{WINDOW[1]}", f"--force-device-scale-factor={SCALE}", f"--screenshot={shot}",
             report.resolve().as_uri()],
            check=True, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
        whole = Image.open(shot).convert("RGB")
    picture = whole.crop(tuple(SCALE * edge for edge in CROP))
    # A page has few colours: 128 look like all, in a third of the bytes.
    picture.quantize(128, dither=Image.Dither.NONE).save(target, optimize=True)
    print(f"{target.relative_to(PROJECT)}: {picture.width} x {picture.height}, {target.stat().st_size:,} bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ctpipe", required=True, type=pathlib.Path, help="the program")
    parser.add_argument("--demo", type=pathlib.Path, help="the folder of a finished demonstration")
    given = parser.parse_args()
    ctpipe = given.ctpipe.resolve()
    with tempfile.TemporaryDirectory(prefix="ctpipe-pictures-") as folder:
        demo = given.demo or pathlib.Path(folder)
        if not given.demo:
            shutil.copy(PROJECT / "pipeline.yaml", demo)
            subprocess.run([ctpipe, "synth", "data/demo"], cwd=demo, check=True, stdin=subprocess.DEVNULL)
            screen = Screen()
            seen = record(screen, ctpipe, ["run", "--profile", "demo"], demo)
            seen += record(screen, ctpipe, ["status", "--profile", "demo"], demo)
            target = HERE / "run.svg"
            target.write_text(svg(frames(seen), "A terminal: ctpipe run --profile demo, then ctpipe status"))
            print(f"{target.relative_to(PROJECT)}: {len(frames(seen))} frames, {target.stat().st_size:,} bytes")
        for scheme in SCHEMES:
            photograph(demo / "artifacts/report/report.html", scheme, HERE / f"report-{scheme}.png")


if __name__ == "__main__":
    main()
