"""The Textual front end. It talks to the runtime and reads core value types, nothing below."""
