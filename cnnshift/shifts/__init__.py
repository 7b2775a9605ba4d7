"""Shift protocols, which define how an image moves and which pixels enter at its border, and shift sets."""
