"""livdemo: how networks outline liver tumours, slice by slice. Teaching only, not for clinical use."""

__version__ = "0.1.0"
