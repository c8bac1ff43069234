"""A page in a real Chromium, watched: what it complains of, and what it asks of others."""

from __future__ import annotations

from playwright.sync_api import Browser, ConsoleMessage, Page


class Watched:
    """A page, and everything it has complained of."""

    def __init__(self, browser: Browser, url: str, width_px: int = 1440, height_px: int = 900) -> None:
        self.complaints: list[str] = []
        self.page: Page = browser.new_page(viewport={"width": width_px, "height": height_px})
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._note_foreign)
        self._url = url
        self.page.goto(url)

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _note_foreign(self, request: object) -> None:
        address = str(getattr(request, "url", ""))
        if not address.startswith((self._url, "blob:")):
            self.complaints.append(f"asks elsewhere: {address}")

    def brightness(self, camera: str = "cam") -> float:
        """Of the middle of a live picture as drawn."""
        script = """camera => {
            const canvas = document.querySelector(`[data-camera="${camera}"] canvas`);
            const context = canvas.getContext("2d");
            return context.getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data[0];
        }"""
        return float(self.page.evaluate(script, camera))

    def wait_for(self, script: str, timeout_s: float = 8.0) -> None:
        self.page.wait_for_function(script, timeout=timeout_s * 1000)
