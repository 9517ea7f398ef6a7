"""The phases that methods share."""
