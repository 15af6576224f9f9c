"""A comparison for readers: tables in the terminal, and one self-contained HTML page with all transcripts."""
