"""FTFT: efficient and robust fine-tuning by transferring training dynamics (arXiv 2310.06588)."""
