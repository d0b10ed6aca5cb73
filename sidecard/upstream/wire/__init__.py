"""The wire format of the Messages API: requests out, messages and server-sent events in."""
