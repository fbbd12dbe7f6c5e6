#!/bin/bash
# github.com/coreos/go-systemd/v22 v22.7.0, package activation
#
# Of a service that is handed a datagram and a stream socket, Listeners returns {nil, listener} and PacketConns {conn, nil},
# as documented. But the first of the two calls forgets the environment ($LISTEN_FDS), so the other, whichever it
# is, returns nothing, without an error. The descriptor that the first had no use for is closed at
# some later garbage collection.
#
# One would have guessed that the gaps of the one are for the other to fill: they have no other use. A syslog or
# DNS server by that pattern has half of its sockets.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
gomod github.com/coreos/go-systemd/v22@v22.7.0 golang.org/x/sys@v0.49.0
cat >main.go <<'GO'
package main

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// activate executes this program again as systemd would: a datagram socket is 3, a stream socket 4.
func activate(order string) {
	packets, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	check(err)
	streams, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	check(err)
	first, err := packets.File()
	check(err)
	second, err := streams.File()
	check(err)
	var fds [2]int
	for i, file := range []*os.File{first, second} { // away from 3 and 4
		fds[i], err = unix.FcntlInt(file.Fd(), unix.F_DUPFD, 100)
		check(err)
	}
	for i, fd := range fds {
		check(unix.Dup3(fd, 3+i, 0))
	}
	check(os.Setenv("LISTEN_FDS", "2"))
	check(os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid())))
	check(unix.Exec(os.Args[0], []string{os.Args[0], order, "activated"}, os.Environ()))
}

func listeners() (text string) {
	all, err := activation.Listeners()
	check(err)
	for _, l := range all {
		text += fmt.Sprintf("%T ", l)
	}
	return text + "| "
}

func packetConns() (text string) {
	all, err := activation.PacketConns()
	check(err)
	for _, c := range all {
		text += fmt.Sprintf("%T ", c)
	}
	return text + "| "
}

func main() {
	if len(os.Args) == 2 {
		activate(os.Args[1])
	}
	unused := 3
	if os.Args[1] == "listeners" {
		fmt.Print(listeners(), packetConns())
	} else {
		unused = 4
		fmt.Print(packetConns(), listeners())
	}
	closed := false
	for try := 0; !closed && try < 100; try++ {
		runtime.GC()
		time.Sleep(10 * time.Millisecond)
		_, err := unix.FcntlInt(uintptr(unused), unix.F_GETFD, 0)
		closed = err == unix.EBADF
	}
	fmt.Println(closed)
}
GO
claim "Listeners, then PacketConns, and whether the datagram socket is closed" "<nil> *net.TCPListener | | true" "$(gorun listeners)"
claim "PacketConns, then Listeners, and whether the stream socket is closed" "*net.UDPConn <nil> | | true" "$(gorun packets)"
