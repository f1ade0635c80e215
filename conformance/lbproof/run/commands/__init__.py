"""Subcommands of `lbproof`, one command or command group a module."""
