"""Shared stores of each kind."""

from shared_stores import store_kind_fixture, url_fixture

__all__ = ["store_kind_fixture", "url_fixture"]
