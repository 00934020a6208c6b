"""The glass box: the numbers of a step, checks of every gradient, and what lies beyond gradients."""
