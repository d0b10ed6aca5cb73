module sidecard.dev/client

go 1.25.0
