"""Anthropic's own `/v1/messages` over the same stack: for programs that use one of its SDKs."""
