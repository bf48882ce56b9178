"""The viewer (extra `viewer`): episodes in a window, by hand, and as files."""
