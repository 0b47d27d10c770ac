"""How effects are carried out, by subject; the table of which effect is whose is in ``carrying_out.py``."""
