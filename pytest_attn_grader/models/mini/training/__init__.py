"""How `mini` was trained and measured. Not part of the wheel; nothing imports it at run time."""
