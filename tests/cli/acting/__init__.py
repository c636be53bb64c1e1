"""Models and tools for the tests of the terminal, reached from outside: `--model acting.models:...`, `--tool acting.tools`."""
