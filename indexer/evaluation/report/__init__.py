"""What an evaluation leaves to look at: figures, tables, plots, pages."""
