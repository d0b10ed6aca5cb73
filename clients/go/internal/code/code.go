// Package code names gRPC's codes as the daemon does.
package code

import (
	"strings"

	"google.golang.org/grpc/codes"
)

// Name returns InvalidArgument as INVALID_ARGUMENT.
func Name(code codes.Code) string {
	var name strings.Builder
	for i, letter := range code.String() {
		if i > 0 && letter >= 'A' && letter <= 'Z' {
			name.WriteByte('_')
		}
		name.WriteRune(letter)
	}
	return strings.ToUpper(name.String())
}
