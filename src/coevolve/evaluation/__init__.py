"""Measuring held-out problems, pools and labels against true answers that nothing which learns may see."""
