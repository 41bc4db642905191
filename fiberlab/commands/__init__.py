"""The command line: `cli` has the commands, `arguments` says what their arguments mean."""
