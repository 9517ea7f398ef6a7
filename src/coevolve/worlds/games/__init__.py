"""The world of games: small two-player games in a few words a move, for self-play."""
