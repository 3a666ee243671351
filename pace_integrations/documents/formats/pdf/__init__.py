"""PDF files: two engines, one layout."""
