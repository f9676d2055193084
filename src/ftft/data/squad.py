"""SQuAD's own form of a file: one JSON object of articles, their paragraphs, and questions about these."""

from collections.abc import Iterator


def is_nested(document: object) -> bool:
    """Whether a JSON value is an object of articles with paragraphs."""
    articles = document.get("data") if isinstance(document, dict) else None
    return isinstance(articles, list) and any(
        isinstance(one, dict) and "paragraphs" in one for one in articles
    )


def flat_rows(document: dict) -> Iterator[dict]:
    """A row for every question: its own keys beside `title` and `context`. Raises ValueError that says where
    the document is not of this form.
    """
    for number, article in enumerate(document["data"], 1):
        try:
            for paragraph in article["paragraphs"]:
                for question in paragraph["qas"]:
                    yield {"title": article.get("title"), "context": paragraph["context"], **question}
        except (KeyError, TypeError, AttributeError) as error:
            fault = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise ValueError(f"article {number} is not in SQuAD's form: {fault}") from error
