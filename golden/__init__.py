"""Scaffolding: what must not change while the house is rebuilt. Run `golden/make FOLDER`, and compare two folders."""
