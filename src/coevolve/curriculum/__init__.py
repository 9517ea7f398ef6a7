"""The formulas of Agent0 and R-Zero: the proposer's reward, the vote, and which tasks the solver is trained on."""
