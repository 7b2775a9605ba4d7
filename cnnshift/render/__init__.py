"""Writers: a document as text, one file per format; `documents` says what a command has to say."""
