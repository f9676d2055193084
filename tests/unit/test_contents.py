import os

import pytest

from ftft.errors import ArtifactError
from ftft.pipeline.contents import content_of_file, content_of_folder, require_unchanged


@pytest.fixture(autouse=True)
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content_of_file.cache_clear()


@pytest.mark.parametrize("key", ["path", "corrections"])
def test_a_file_that_is_edited_while_it_is_read_is_refused(key):
    content = {"path": "content", "corrections": "corrections_content"}[key]
    with open("rows.csv", "w") as file:
        file.write("one")
    slice_ = {key: "rows.csv", content: content_of_file("rows.csv")}
    require_unchanged(slice_)
    times = os.stat("rows.csv")
    with open("rows.csv", "w") as file:
        file.write("two")
    os.utime("rows.csv", ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(ArtifactError, match=r"rows\.csv has changed while it was read"):
        require_unchanged(slice_)


def test_an_encoder_that_is_edited_while_it_is_read_is_refused(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    slice_ = {"path": str(tmp_path), "content": content_of_folder(str(tmp_path))}
    (tmp_path / "README.md").write_text("no part of it")
    require_unchanged(slice_, content_of_folder)
    (tmp_path / "model.safetensors").write_bytes(b"others")
    with pytest.raises(ArtifactError, match="has changed while it was read"):
        require_unchanged(slice_, content_of_folder)


def test_what_reads_no_path_has_nothing_to_change():
    require_unchanged({"source": "demo"})
