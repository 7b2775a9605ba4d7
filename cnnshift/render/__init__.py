"""Output formats: each module renders a document in one format; `documents` has the document of each command."""
