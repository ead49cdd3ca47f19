"""The report page in a browser: its size, when it first paints, how long its ledger takes to filter.

    python benchmarks/bench_page.py [results/laptop/report/index.html]

Bars: below 5 MB, first paint within a second, 500 claims filtered in 100 ms. Times are the median of several
loads and of every verdict chosen in turn, layout included. Needs chromium and chromedriver.
"""

import argparse
import shutil
import statistics
import time
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

FILTER = """
const control = document.getElementById("verdict-filter"), taken = [];
for (const option of control.options) {
  const began = performance.now();
  control.value = option.value;
  control.dispatchEvent(new Event("change"));
  document.body.offsetHeight;
  taken.push(performance.now() - began);
}
return taken;
"""
PAINT = "return performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("page", type=Path, nargs="?", default=Path("results/laptop/report/index.html"))
    parser.add_argument("--loads", type=int, default=5)
    options = parser.parse_args()
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        parser.error("needs chromium and chromedriver: apt-get install chromium chromium-driver")
    settings = webdriver.ChromeOptions()
    settings.binary_location = chromium
    for flag in ("--headless", "--no-sandbox", "--disable-gpu", "--window-size=1200,900"):
        settings.add_argument(flag)
    browser = webdriver.Chrome(options=settings, service=Service(driver))
    try:
        paints, filters = [], []
        for _ in range(options.loads):
            browser.get(options.page.resolve().as_uri())
            while browser.execute_script(PAINT) is None:
                time.sleep(0.02)
            paints.append(float(browser.execute_script(PAINT)))
            while not browser.execute_script("return Boolean(window.specseqLedger)"):
                time.sleep(0.02)
            filters += browser.execute_script(FILTER)
        claims = browser.execute_script("return window.specseqLedger.rows().count()")
    finally:
        browser.quit()
    print(f"size         {options.page.stat().st_size / 1e6:8.2f} MB   (bar 5)")
    print(f"first paint  {statistics.median(paints):8.0f} ms   (bar 1000; best {min(paints):.0f})")
    middle, best = statistics.median(filters), min(filters)
    print(f"filter       {middle:8.1f} ms   (bar 100; best {best:.1f}; {claims} claims)")


if __name__ == "__main__":
    main()
