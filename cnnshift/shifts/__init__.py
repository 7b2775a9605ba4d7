"""How an image moves: shift sets (which shifts) and protocols (what enters at the border)."""
