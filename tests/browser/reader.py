"""A person at the page of a data map."""

import csv
import time


class Reader:
    def __init__(self, driver, downloads):
        self.driver, self.downloads = driver, downloads

    def open(self, path, width=1280, height=900, theme="light"):
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        scheme = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", scheme)
        self.driver.get_log("browser")
        self.driver.get(path.as_uri())
        self.until(lambda: self.all("#rows li"))

    def until(self, met, seconds=10):
        end = time.monotonic() + seconds
        while not (result := met()):
            assert time.monotonic() < end, self.one("body").text
            time.sleep(0.02)
        return result

    def all(self, selector):
        return self.driver.find_elements("css selector", selector)

    def one(self, selector):
        return self.driver.find_element("css selector", selector)

    def script(self, code, *arguments):
        return self.driver.execute_script(code, *arguments)

    @property
    def details(self):
        return self.one("#details").text

    @property
    def count(self):
        return int(self.one("#count").text.split(" of ")[0].replace(",", ""))

    def listed(self):
        return [uid.text for uid in self.all("#rows .one:first-of-type, #rows .swatch + .one")]

    def mouse(self):
        from selenium.webdriver import ActionChains

        return ActionChains(self.driver, duration=0)

    def at(self, variability, confidence):
        """Offsets of a place in the map from the middle of the plot."""
        code = (
            "const b = plot.holder.getBoundingClientRect(); return [MARGIN.left + plot.toX(arguments[0]) - "
        )
        code += "b.width / 2, MARGIN.top + plot.toY(arguments[1]) - b.height / 2]"
        return [round(offset) for offset in self.script(code, variability, confidence)]

    def point(self, variability, confidence):
        return self.mouse().move_to_element_with_offset(self.one("#plot"), *self.at(variability, confidence))

    def brush(self, left, bottom, right, top):
        start, end = self.at(left, top), self.at(right, bottom)
        self.mouse().move_to_element_with_offset(self.one("#plot"), *start).click_and_hold().perform()
        self.mouse().move_to_element_with_offset(self.one("#plot"), *end).release().perform()

    def press(self, *keys):
        for key in keys:
            self.mouse().send_keys(key).perform()

    def exported(self, button="#export"):
        for old in self.downloads.iterdir():
            old.unlink()
        self.one(button).click()
        # Chromium makes an empty file of that name before it moves the finished one there.
        (path,) = self.until(lambda: [path for path in self.downloads.glob("*.csv") if path.stat().st_size])
        with open(path, newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
