"""Load measurements: Taskward beside other ways of building the same service. See `README.md` here."""
