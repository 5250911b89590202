"""Uses the page of a running `effnet serve` in headless Chromium.

Drops an image, sends a file that is not one, works with the keyboard alone, on a narrow screen and in the dark, and
fails if anything is logged to the console. The screenshots go to a folder to look at. CHROMIUM names the browser, and
AXE the file axe.min.js of axe-core, which then must find no serious violation.
"""

import argparse
import base64
import os
import pathlib

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("url")
parser.add_argument("image")
parser.add_argument("screenshots", nargs="?", type=pathlib.Path)
arguments = parser.parse_args()
try:
    from playwright.sync_api import TimeoutError, sync_playwright
except ImportError as error:
    parser.error(f"{error}: install requirements.txt into an environment first")

URL, IMAGE, SHOTS = arguments.url, arguments.image, arguments.screenshots
DROP = """([name, data]) => {
    const bytes = Uint8Array.from(atob(data), (one) => one.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], name));
    const target = document.getElementById("drop");
    for (const type of ["dragover", "drop"])
        target.dispatchEvent(new DragEvent(type, { dataTransfer: transfer, bubbles: true, cancelable: true }));
}"""
PASTE = """([name, data]) => {
    const bytes = Uint8Array.from(atob(data), (one) => one.charCodeAt(0));
    const clipboardData = new DataTransfer();
    clipboardData.items.add(new File([bytes], name, { type: "image/png" }));
    document.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true }));
}"""


def encoded(path):
    return [pathlib.Path(path).name, base64.b64encode(pathlib.Path(path).read_bytes()).decode()]


def wait(page, text):
    page.wait_for_function("(text) => document.getElementById('message').textContent.includes(text)", arg=text)


def classified(page):
    page.wait_for_selector("#map:not(.hidden)")
    assert page.locator("#classes li").count() == 5
    assert page.locator("#map").evaluate("(map) => map.complete && map.naturalWidth > 100 && map.alt.length > 20")
    wait(page, page.locator("#classes li").first.locator("span").nth(1).inner_text())


def shoot(page, name):
    if SHOTS:
        page.screenshot(path=SHOTS / f"{name}.png", full_page=True)


def accessible(page):
    axe = os.environ.get("AXE")
    if not axe:
        return
    page.evaluate(pathlib.Path(axe).read_text())
    found = page.evaluate("() => axe.run()")["violations"]
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    assert not serious, [(one["id"], [node["html"] for node in one["nodes"]]) for one in serious]


def choose(page):
    """Presses the focused button. The browser does not always tell about the window that opens: then once more."""
    for _ in range(5):
        try:
            with page.expect_file_chooser(timeout=3000) as chooser:
                page.keyboard.press("Enter")
            return chooser.value
        except TimeoutError:
            pass
    raise AssertionError("no window to choose a file")


def keyboard(page):
    """Reaches every control with the Tab key, and sends a file with the Enter key."""
    page.reload()
    page.wait_for_function("() => document.getElementById('model').options.length > 0")
    seen = []
    for _ in range(12):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("() => document.activeElement.id"))
        if seen[-1] == "choose" and seen.count("choose") == 1:
            choose(page).set_files(IMAGE)
            classified(page)
    assert {"choose", "camera", "class"} <= set(seen), seen
    assert "file" not in seen, seen


def main():
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        browser = playwright.chromium.launch(executable_path=os.environ.get("CHROMIUM"), args=flags)
        problems = []
        for name, width, scheme in [("wide", 1200, "light"), ("narrow", 360, "light"), ("dark", 1200, "dark")]:
            page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
            page.on("console", lambda message: problems.append(message.text))
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.goto(URL)
            page.evaluate(DROP, encoded(IMAGE))
            classified(page)
            shoot(page, name)
            accessible(page)
            wider = page.evaluate("() => document.documentElement.scrollWidth - window.innerWidth")
            assert wider <= 0, f"{name}: {wider} pixels wider than the screen"
            page.select_option("#class", index=2)
            page.wait_for_function("() => document.getElementById('map').alt.includes("
                                   "document.getElementById('class').selectedOptions[0].text)")
            page.evaluate(PASTE, encoded(IMAGE))
            classified(page)
        assert not problems, problems
        keyboard(page)
        page.click("#camera")
        page.wait_for_selector("#video", state="visible")
        page.click("#shoot")
        classified(page)
        assert not problems, problems
        # A browser logs failed requests itself, which is all that may be logged from here on.
        page.evaluate(DROP, ["notes.txt", base64.b64encode(b"not an image").decode()])
        wait(page, "not an image")
        assert page.locator("#message.bad").count() == 1 and page.locator("#result").is_hidden()
        shoot(page, "bad")
        assert all("415" in problem for problem in problems), problems
        browser.close()
    print("the page works: drop, paste, camera, keyboard, narrow, dark, bad file")


main()
