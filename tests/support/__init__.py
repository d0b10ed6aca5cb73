"""What tests share: scripted handlers, clocks, servers and the reading of source code."""
