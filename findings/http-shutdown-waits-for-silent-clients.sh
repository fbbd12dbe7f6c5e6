#!/bin/bash
# Go 1.26, net/http
#
# Shutdown waits for a connection on which no byte was ever received, until it is five seconds old. One that
# has had an answer, and is as silent now, is closed at once.
#
# One would have guessed that a client without a request is idle ("then closing all idle connections, and then
# waiting indefinitely for connections to return to idle"): a spare connection of a browser's or a
# load balancer's, or a port probe, makes each restart take seconds, or makes it fail with
# "context deadline exceeded" where no request is under way.
#
# Seen: after an answered request Shutdown takes some 0.0 s; with a connection that says nothing some 5 s.
. "$(dirname "$0")/lib.bash"
gomod
say "with $(go version)"
cat >main.go <<'GO'
package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// shutdown reports what Shutdown with a limit of 3 seconds returns, and what one without a limit then does.
func shutdown(ask bool) (limited, unlimited error, took time.Duration) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	accepted := make(chan struct{}, 1)
	server := &http.Server{ConnState: func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew && !ask || s == http.StateIdle {
			accepted <- struct{}{}
		}
	}}
	go server.Serve(listener)
	conn, err := net.Dial("tcp", listener.Addr().String())
	check(err)
	defer conn.Close()
	if ask {
		_, err = conn.Write([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
		check(err)
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		check(err)
		response.Body.Close()
	}
	<-accepted
	start := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	limited = server.Shutdown(ctx)
	return limited, server.Shutdown(context.Background()), time.Since(start)
}

func main() {
	for _, ask := range []bool{true, false} {
		limited, unlimited, took := shutdown(ask)
		fmt.Println(limited, unlimited)
		fmt.Fprintln(os.Stderr, "took", took.Round(100*time.Millisecond))
	}
}
GO
gorun >"$work/seen"
{ read -r idle; read -r silent; } <"$work/seen"
claim "Shutdown, with a limit of 3 s and without, of a connection that was answered" "<nil> <nil>" "$idle"
claim "and of one that has said nothing" "context deadline exceeded <nil>" "$silent"
