"""chainrule: feedforward networks, derived, then compiled."""
