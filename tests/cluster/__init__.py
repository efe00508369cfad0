"""Tests that run real clusters: several processes of each kind, faults, attacks."""
