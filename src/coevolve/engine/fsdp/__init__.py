"""Training on several GPUs of one machine, or several processes without: weights shared out by torch's FSDP2."""
