"""`python -m ftft.pipeline.config` writes config/schema.json and the tables of config/README.md anew."""

from .documents import documents

for path, text in documents().items():
    path.write_text(text, encoding="utf-8")
    print(f"wrote {path}")
