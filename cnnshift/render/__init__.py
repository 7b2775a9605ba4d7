"""Writers: a result as text, one file per format."""
