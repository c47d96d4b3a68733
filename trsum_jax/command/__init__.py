"""What stands on a command line: flags, configs by name, help, completion; faults as one sentence."""
