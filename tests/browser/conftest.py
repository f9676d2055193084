"""A headless browser, where one is installed, and pages of data maps whose points lie where tests say."""

import shutil
from importlib.util import find_spec

import numpy as np
import pyarrow as pa
import pytest

from ftft.artifacts import write_parquet
from ftft.cartography.datamap import write_map
from ftft.cartography.dynamics import save_dynamics
from ftft.data.dataset import Dataset
from ftft.results.issues import write_issues
from ftft.results.map_page import write_page
from ftft.tasks.base import kind_of

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NO_REPEATS = pa.schema([("dataset", pa.string()), ("uid", pa.string()), ("group", pa.int64())])
DRIVER = shutil.which("chromedriver")
MISSING = [
    name
    for name, found in (("chromium", BROWSER), ("chromedriver", DRIVER), ("selenium", find_spec("selenium")))
    if not found
]


def pytest_collection_modifyitems(items):
    if not MISSING:
        return
    absent = pytest.mark.skip(reason=f"no browser: {', '.join(MISSING)} not installed")
    for item in items:
        if "browser" in item.keywords:
            item.add_marker(absent)


@pytest.fixture(scope="session")
def downloads(tmp_path_factory):
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="session")
def driver(downloads):
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(DRIVER)
    driver = webdriver.Chrome(options, service)
    yield driver
    driver.quit()


@pytest.fixture(scope="session")
def make_page():
    return page_of


def page_of(folder, points, fraction=0.25, title="Data map"):
    """Write the page of a map with an instance (uid, texts, label, variability, confidence) per point.

    Two epochs, in which p_true lies one variability below and above the confidence.
    """
    uids, texts, labels, variability, confidence = zip(*points, strict=True)
    names = sorted(set(labels))
    classes = np.array([names.index(label) for label in labels])
    dataset = Dataset(list(uids), tuple(map(list, zip(*texts, strict=True))), classes, names)
    epochs = []
    for sign in (-1, 1):
        p_true = np.array(confidence) + sign * np.array(variability)
        others = np.repeat(((1 - p_true) / (len(names) - 1))[:, None], len(names), axis=1)
        others[np.arange(len(points)), classes] = p_true
        epochs.append(np.log(others).astype(np.float32))
    return page_of_dataset(folder, dataset, epochs, ["premise", "hypothesis"], fraction, title)


@pytest.fixture(scope="session")
def make_page_of_dataset():
    return page_of_dataset


def page_of_dataset(folder, dataset, epochs, text, fraction=0.25, title="Data map"):
    """Write the page of the map of what was recorded of a data set in these epochs."""
    train, dynamics, data_map = (folder / f"{name}.parquet" for name in ("train", "dynamics", "map"))
    dataset.save(train)
    save_dynamics(dynamics, kind_of(dataset.kind), epochs, dataset, {})
    write_map(dynamics, train, data_map)
    spec = {"title": title, "text": text, "fraction": fraction}
    issues = {"scores": folder / "issues.parquet", "csv": folder / "issues.csv"}
    write_parquet(folder / "repeats.parquet", NO_REPEATS.empty_table(), {})
    asked = {"train": "train", "scores": ["confidence"], "settings": {}, "text": text}
    write_issues(asked, dynamics, train, folder / "repeats.parquet", issues)
    write_page(spec, data_map, dynamics, train, issues["scores"], folder / "page.html")
    return folder / "page.html"
