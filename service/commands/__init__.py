"""The commands of `tie`, but for `bench` and `eval`, which are packages of their own."""
