"""Template tags of the admin's front page."""
