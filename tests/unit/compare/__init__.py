"""Tests of the comparison of two services."""
