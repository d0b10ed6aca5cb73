package sidecard

import (
	"crypto/tls"
	"math"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

// dialOptions are how a daemon is reached that is beside us, and dependable by itself.
func dialOptions(config *tls.Config) []grpc.DialOption {
	encrypted := insecure.NewCredentials()
	if config != nil {
		encrypted = credentials.NewTLS(config)
	}
	reconnect := backoff.Config{
		BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second,
	}
	return []grpc.DialOption{
		grpc.WithTransportCredentials(encrypted),
		// Trying again is the daemon's work, and no DNS record configures it.
		grpc.WithDisableRetry(),
		grpc.WithDisableServiceConfig(),
		grpc.WithNoProxy(),
		// The daemon has the limits, and names the field that is over one.
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(math.MaxInt32), grpc.MaxCallSendMsgSize(math.MaxInt32),
		),
		// It is back within a second of a restart; gRPC would wait up to two minutes.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: reconnect, MinConnectTimeout: 5 * time.Second,
		}),
		// A daemon that hangs is noticed in a long silence too.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time: 30 * time.Second, Timeout: 20 * time.Second,
		}),
	}
}
