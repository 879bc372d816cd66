"""Pure values and rules. Nothing here does I/O or knows about disks, networks or Ray."""
