"""The world of programs: what a small Python program gives, what to give it, and which program it was."""
