"""What the curriculum agent is rewarded for and which of its tasks the executor is trained on."""
