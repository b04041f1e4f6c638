"""What every room stands on: configuration, files, random streams, signals, the command line, safety."""
