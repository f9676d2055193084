"""What a run leaves for people: tables, figures, pages, cards."""
