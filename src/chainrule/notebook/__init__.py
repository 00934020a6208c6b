"""What notebooks show: things as HTML, with nothing fetched and no script (forms.py)."""
