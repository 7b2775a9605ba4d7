"""Documents: what each command says, one file per command."""
